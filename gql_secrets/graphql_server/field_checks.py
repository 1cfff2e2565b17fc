"""Field extensions that only decide whether a field may be resolved."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

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
