"""Who failed too often: counted in this process, and never held against a good secret.

A credential is always judged first. Only where it is refused is the attempt counted, and only where there were too
many of them does the refusal become "too many, try again later". So nobody can lock anybody out: not a client by
failing in its name, nor a whole office by failing from its address. Against guessing stand the 256 random bits of a
secret, not these counters; they keep a broken script from failing a thousand times a minute unnoticed.

The arithmetic: each process counts for itself, so N processes let N times as many attempts fail before they say so.
What is remembered is bounded: of more addresses or client ids than `MAX_KEPT`, those that failed last.
Resets are counted elsewhere, exactly for all processes together: in the database, by the rows that they leave
(service/rotation.py).
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.limits import Rate, pour, whole_seconds

MAX_KEPT: Final = 10_000
_IPV6_NETWORK: Final = 64  # what one household has; its owner can choose any address in it


class Counter:
    """Attempts by address or by client id, for one rate; without a rate it counts nothing."""

    def __init__(self, rate: Rate | None, *, most: int = MAX_KEPT) -> None:
        """Begin with nothing counted."""
        self._rate = rate
        self._most = most
        self._empty_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._empty_at)

    def count(self, key: str, now: int) -> int:
        """Count one attempt; return how many nanoseconds too early it came, 0 where it is within the limit."""
        if self._rate is None:
            return 0
        self._empty_at[key], too_early = pour(self._rate, self._empty_at.get(key, now), now)
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > self._most:
            self._empty_at.popitem(last=False)
        return too_early


class Limits:
    """The counters of failed attempts of this process."""

    def __init__(
        self,
        *,
        failures_per_address: Rate | None,
        failures_per_client: Rate | None,
        sign_ins_per_address: Rate | None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make them; None is no limit.

        Args:
            failures_per_address: how many credentials from one address may be refused.
            failures_per_client: how many credentials with one client id may be refused, whether it exists or not.
            sign_ins_per_address: how many sign-in links from one address may be refused.
            clock: nanoseconds that only go forward.
        """
        self.clock = clock
        self._failures_per_address = Counter(failures_per_address)
        self._failures_per_client = Counter(failures_per_client)
        self._sign_ins_per_address = Counter(sign_ins_per_address)

    def failed(self, address: str | None, client_id: str | None) -> int:
        """Count credentials that were refused; return how many seconds too early they came, 0 within the limits.

        Args:
            address: where they came from, None where that is not clear: those are counted together.
            client_id: what they named, None where they named nothing.
        """
        now = self.clock()
        waits = [self._failures_per_address.count(network_of(address), now)]
        if client_id is not None and is_client_id(client_id):
            waits.append(self._failures_per_client.count(client_id, now))
        return whole_seconds(max(waits))

    def sign_in_failed(self, address: str | None) -> int:
        """Count a sign-in link that was refused; return how many seconds too early it came, 0 within the limit."""
        return whole_seconds(self._sign_ins_per_address.count(network_of(address), self.clock()))


def network_of(address: str | None) -> str:
    """Return what an address is counted as: an IPv4 address itself, of an IPv6 address its network of 64 bits."""
    if address is None or ":" not in address:
        return address or ""
    return str(ipaddress.IPv6Network((address, _IPV6_NETWORK), strict=False))
