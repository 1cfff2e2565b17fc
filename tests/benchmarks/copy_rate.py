"""How long does `gql-secrets db copy` take for 100,000 clients?

    uv run --all-groups python tests/benchmarks/copy_rate.py [--clients 100000] [--to postgres://…] [--online]

Imports the clients into a new SQLite file, copies that into another one, or into the empty database of `--to`, as a
process of its own, and prints wall time, rows per second and processor time. With `--online`, the command says for how
long changes were paused, while nobody makes any. `--clients 2000` is the short form.
"""

import argparse
import os
import tempfile
from pathlib import Path

from import_rate import IMPORT, run, write_file  # type: ignore[import-not-found]  # a script next to this one

from gql_secrets.domain.credentials import Pepper


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a copy.")
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--to", default="")
    parser.add_argument("--online", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")},
            "GQL_SECRETS_DATA_DIR": directory,
            "GQL_SECRETS_PEPPER": Pepper.mint().written(),
        }
        file = Path(directory) / "clients.json"
        write_file(file, chosen.clients)
        run(["db", "upgrade"], environment)
        run([*IMPORT, str(file)], environment)
        copy = ["db", "copy", "--to", chosen.to or f"sqlite:///{directory}/copy.db"]
        wall, cpu = run([*copy, "--online"] if chosen.online else copy, environment)
        print(
            f"{chosen.clients:,} clients in {wall:.1f} s ({chosen.clients / wall:,.0f} a second, {cpu:.1f} s of "
            f"processor time, {os.cpu_count()} cores)"
        )


if __name__ == "__main__":
    main()
