"""Field extensions that surround a resolver without changing what it gets: checks before it, and failures as data."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import strawberry
from strawberry.extensions import FieldExtension


class FieldCheck(FieldExtension):
    """Refuses to resolve a field, or lets it be resolved as if it were not there.

    Because it does nothing else, the check of many values of a field can come before all of them are loaded.
    """

    def check(self, source: Any, info: strawberry.Info[Any, Any], given: Mapping[str, Any], /) -> None:  # noqa: ANN401  an object of any type
        """Pass if the field of this object may be resolved with these arguments; else raise what the caller gets."""
        raise NotImplementedError

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Any, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field if the check passes."""
        self.check(source, info, kwargs)
        return await next_(source, info, **kwargs)


class FailuresAreData(FieldExtension):
    """Returns some failures of an asynchronous field as its value; the last extension of the field."""

    kinds: ClassVar[tuple[type[Exception], ...]]

    def begin(self, info: strawberry.Info[Any, Any], /) -> None:
        """Do what comes before everything else, the checks included."""
        raise NotImplementedError

    def value_of(self, failure: Any, given: Mapping[str, Any], /) -> object:  # noqa: ANN401  one of the kinds
        """Return the value of the field in place of this failure."""
        raise NotImplementedError

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Any, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field, or return the value of its failure."""
        self.begin(info)
        try:
            return await next_(source, info, **kwargs)
        except self.kinds as failure:
            return self.value_of(failure, kwargs)
