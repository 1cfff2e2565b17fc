"""The nodes of the installation."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.enums import LeaseState, UncertainClients
from gql_secrets.service.cluster import ClusterMember as Member


@strawberry.type(description="One node: a server process.")
class ClusterMember:
    id: strawberry.ID = strawberry.field(description="The id of the process. Different after each start.")
    version: str = strawberry.field(description="The version of gql-secrets that it runs.")
    lease: LeaseState = strawberry.field(description="Whether it may verify from memory.")
    lag: int | None = strawberry.field(
        description="The number of changes of the installation that it has not followed yet. Null if it reads the "
        "database for each verification."
    )
    started_at: datetime = strawberry.field(description="When it started.")
    last_seen_at: datetime = strawberry.field(description="When it last reached the database.")
    own: bool = strawberry.field(description="Whether it is the node that answered this request.")

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return the view of a node."""
        return cls(
            id=strawberry.ID(member.id),
            version=member.version,
            lease=member.lease,
            lag=member.lag,
            started_at=member.started_at,
            last_seen_at=member.last_seen_at,
            own=member.is_own,
        )


@strawberry.type(description="The nodes that run on the installation's database.")
class Cluster:
    members: list[ClusterMember] = strawberry.field(
        description="The nodes, in the order in which they started. On SQLite, only the server that answered, with its "
        "workers."
    )
    uncertain_clients: UncertainClients = strawberry.field(
        description="Which clients are not verified, because the database lost changes and no administrator has "
        "accepted the database yet."
    )
