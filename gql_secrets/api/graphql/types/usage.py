"""The use of a secret: its sources, and its hours."""

from datetime import datetime
from typing import Final, Self

import strawberry

from gql_secrets.storage import usage

# GraphQL's Int has 32 bits; a secret of a busy API can be used more often than that.
MAX_INT: Final = 2**31 - 1


@strawberry.type(description="A source that used a secret: an address and a user agent.")
class SecretUse:
    address: str | None = strawberry.field(description="The address of the source, as reported by trusted proxies.")
    user_agent: str | None = strawberry.field(
        description="The User-Agent header of the source, truncated to 256 characters."
    )
    first_seen_at: datetime = strawberry.field(description="When the source first used the secret.")
    last_seen_at: datetime = strawberry.field(
        description="When the source last used the secret. Delayed by at most a minute."
    )
    count: int = strawberry.field(description="How often the source used the secret. Delayed by at most a minute.")
    refused: bool = strawberry.field(
        description="Whether these are refused attempts, made after the secret had ended or while its client was "
        "disabled. The source still has the secret."
    )

    @classmethod
    def of(cls, use: usage.SecretUse) -> Self:
        """Return the view of a source."""
        return cls(
            address=use.address,
            user_agent=use.user_agent,
            first_seen_at=use.first_seen_at,
            last_seen_at=use.last_seen_at,
            count=min(use.count, MAX_INT),
            refused=use.refused,
        )


@strawberry.type(description="The use of a secret within one hour.")
class UsageBucket:
    starts_at: datetime = strawberry.field(description="When the hour starts.")
    count: int = strawberry.field(
        description="How often the secret was used, including attempts refused only because of the allow list."
    )
    refused: int = strawberry.field(
        description="How often the secret was tried after it had ended, or while its client was disabled."
    )

    @classmethod
    def of(cls, bucket: usage.UsageBucket) -> Self:
        """Return the view of an hour."""
        return cls(
            starts_at=bucket.starts_at,
            count=min(bucket.count, MAX_INT),
            refused=min(bucket.refused, MAX_INT),
        )
