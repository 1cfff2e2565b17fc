"""Objects of models, made of the values of rows.

A change makes several. Tortoise's own ways check and convert each value, which takes several times as long.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from tortoise.fields import BooleanField
from tortoise.models import Model

from gql_secrets.storage.fields import InstantField, from_microseconds

ModelT = TypeVar("ModelT", bound=Model)

Convert = Callable[[Any], object]


class Plan(NamedTuple):
    """The columns of a row, its key first, and those whose values are converted."""

    columns: tuple[str, ...]
    converted: tuple[tuple[str, Convert], ...]


def object_of(model: type[ModelT], values: Mapping[str, object]) -> ModelT:
    """Return the object of a row whose values are as Python has them; what is not given is None."""
    made = model.__new__(model)
    made.__dict__.update(_blank(model), _await_when_save={})
    made.__dict__.update(values)
    return made


def object_of_row(model: type[ModelT], plan: Plan, values: Sequence[Any]) -> ModelT | None:
    """Return the object of a row as the database has its values, or None where the first one, its key, is null."""
    if values[0] is None:
        return None
    made = model.__new__(model)
    own = made.__dict__
    own.update(_blank(model), _await_when_save={})
    own.update(zip(plan.columns, values, strict=True))
    for name, convert in plan.converted:
        if (value := own[name]) is not None:
            own[name] = convert(value)
    return made


def set_fields(made: Model, **values: object) -> None:
    """Set fields of an object that was made here, without what Tortoise checks of each."""
    made.__dict__.update(values)


def set_related(made: Model, name: str, rows: Iterable[Model]) -> None:
    """Give an object that was made here the rows of other tables that refer to it, as if they were prefetched."""
    getattr(made, name)._set_result_for_query(list(rows))  # noqa: SLF001  what Tortoise's prefetching calls


def plan_of(model: type[Model], columns: Sequence[str]) -> Plan:
    """Return how the values of these columns are converted."""
    converters = ((name, _converter(model, name)) for name in columns)
    return Plan(tuple(columns), tuple((name, convert) for name, convert in converters if convert))


def _converter(model: type[Model], name: str) -> Convert | None:
    field = model._meta.fields_map.get(name)  # noqa: SLF001  Tortoise's own place for it
    if isinstance(field, InstantField):
        return from_microseconds
    return bool if isinstance(field, BooleanField) else None


@lru_cache
def _blank(model: type[Model]) -> dict[str, object]:
    """Return what Tortoise keeps in an object that was read, and None for each field."""
    fields: dict[str, object] = dict.fromkeys(model._meta.fields_db_projection)  # noqa: SLF001
    return fields | {"_partial": False, "_saved_in_db": True, "_custom_generated_pk": False}
