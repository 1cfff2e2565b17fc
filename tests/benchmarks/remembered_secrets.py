"""How much memory does a secret take that a server remembers, to verify from memory?

    uv run --all-groups python tests/benchmarks/remembered_secrets.py

It fails above 300 bytes, the mean of a million secrets.
"""

import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.verified_clients import client_id
from support.processes import own_memory

from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.change_log import Position
from gql_secrets.storage.secret_index.memory import SecretMemory
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

SECRETS = 1_000_000
MAX_BYTES = 300


def bytes_per_secret() -> float:
    memory = SecretMemory()
    memory.start_at(Position(1, None))
    before = own_memory(os.getpid())
    for number in range(SECRETS):
        digest = hashlib.sha256(b"%d" % number).digest()
        stored = StoredSecret(10_000 + number, client_id(number), SecretState.CURRENT, None, True, True, None)
        memory.remember(digest, stored, revision=1, epoch=memory.epoch)
    return (own_memory(os.getpid()) - before) / len(memory)


if __name__ == "__main__":
    size = bytes_per_secret()
    print(f"{SECRETS:,} remembered secrets: {size:.0f} bytes each")
    sys.exit(size > MAX_BYTES)
