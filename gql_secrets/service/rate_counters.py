"""Counts failed attempts in this process. They never affect a valid secret.

A credential is always verified first. Only a refused one is counted, and only after too many of them the refusal
becomes "too many failed attempts, try again later". So nobody can lock anybody out: neither a client by failing with
its id, nor an office by failing from its address. The 256 random bits of a secret protect against guessing, not these
counters; they make a broken script notice that it fails a thousand times a minute.

Each process counts for itself, so N processes allow N times as many failures. Memory is bounded: of more than
`MAX_KEPT` addresses or client ids, the most recent are kept. Resets are counted exactly and for all processes
together, in the database (service/rotation.py).
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.limits import Rate, share_of_one, take, whole_seconds
from gql_secrets.domain.networks import address_block

MAX_KEPT: Final = 10_000


class Counter:
    """Counts attempts by address or by client id against one rate; without a rate, it counts nothing."""

    def __init__(self, rate: Rate | None) -> None:
        """Count attempts against `rate`, of at most `MAX_KEPT` keys."""
        self._rate = rate
        self._empty_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._empty_at)

    def set_rate(self, rate: Rate | None) -> None:
        """Count against another rate, from nothing: what was counted against the old one says nothing about it."""
        if rate != self._rate:
            self._rate = rate
            self._empty_at.clear()

    def count(self, key: str, now: int) -> int:
        """Count one attempt; return by how many nanoseconds it came too early, 0 if it is within the limit."""
        if self._rate is None:
            return 0
        self._empty_at[key], too_early = take(self._rate, self._empty_at.get(key, now), now)
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > MAX_KEPT:
            self._empty_at.popitem(last=False)
        return too_early

    def give_back(self, key: str) -> None:
        """Undo the count of one attempt that was within the limit."""
        if self._rate is not None and key in self._empty_at:
            self._empty_at[key] -= share_of_one(self._rate)


class FailureCounters:
    """The counters of failed attempts of this process."""

    def __init__(
        self,
        *,
        failures_per_address: Rate | None,
        failures_per_client: Rate | None,
        sign_ins_per_address: Rate | None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Count against these rates; None means unlimited.

        Args:
            failures_per_address: how many credentials from one address may be refused.
            failures_per_client: how many credentials with one client id may be refused, whether it exists or not.
            sign_ins_per_address: how many sign-in links from one address may be refused, and how many codes of an
                identity provider.
            clock: a monotonic clock, in nanoseconds.
        """
        self.clock = clock
        self._failures_per_address = Counter(failures_per_address)
        self._failures_per_client = Counter(failures_per_client)
        self._sign_ins_per_address = Counter(sign_ins_per_address)
        self._codes_per_address = Counter(sign_ins_per_address)

    def set_rates(
        self, *, failures_per_address: Rate | None, failures_per_client: Rate | None, sign_ins_per_address: Rate | None
    ) -> None:
        """Count against these rates from now on; None means unlimited."""
        self._failures_per_address.set_rate(failures_per_address)
        self._failures_per_client.set_rate(failures_per_client)
        self._sign_ins_per_address.set_rate(sign_ins_per_address)
        self._codes_per_address.set_rate(sign_ins_per_address)

    def failed(self, address: str | None, client_id: str | None) -> int:
        """Count refused credentials; return by how many seconds they came too early, 0 within the limits.

        Args:
            address: where they came from, or None if that is unknown: those are counted together.
            client_id: the client id in them, or None.
        """
        now = self.clock()
        waits = [self._failures_per_address.count(_block_of(address), now)]
        if client_id is not None and is_client_id(client_id):
            waits.append(self._failures_per_client.count(client_id, now))
        return whole_seconds(max(waits))

    def sign_in_failed(self, address: str | None) -> int:
        """Count a refused sign-in link; return by how many seconds it came too early, 0 within the limit."""
        return whole_seconds(self._sign_ins_per_address.count(_block_of(address), self.clock()))

    def code_came(self, address: str | None) -> int:
        """Count a code before its identity provider is asked; return by how many seconds it came too early, or 0.

        It is counted before, so that many at the same time cannot all be within the limit.
        """
        return whole_seconds(self._codes_per_address.count(_block_of(address), self.clock()))

    def code_was_valid(self, address: str | None) -> None:
        """Undo the count of a code that its identity provider accepted: only refused ones count."""
        self._codes_per_address.give_back(_block_of(address))


def _block_of(address: str | None) -> str:
    return address_block(address) if address else ""
