"""How Tortoise makes the models."""

from typing import Any

from tortoise.models import ModelMeta


class Table(ModelMeta):
    """The metaclass of our models, whose columns have no descriptions in comments.

    Tortoise would look for such comments. Before Python 3.13 it parses the whole file again for each model in it, which
    was a tenth of a start.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> type:  # noqa: D102
        return super().__new__(cls, name, bases, attrs | {"_no_comments": True})
