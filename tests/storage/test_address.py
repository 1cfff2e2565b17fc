"""A database URL is read as libpq reads it, and a mistake in it is a sentence that never shows the password."""

import pytest

from gql_secrets.domain.errors import SetupError
from gql_secrets.storage.address import DatabaseAddress, TlsFiles

SECRET = "hunter2" + "-secret"


def test_the_options_of_libpq_work() -> None:
    address = DatabaseAddress.parse(
        "postgres://u@db/name?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem"
        "&application_name=blue&connect_timeout=7&port=6432"
    )
    assert address == DatabaseAddress(
        "postgres",
        host="db",
        port=6432,
        user="u",
        database="name",
        ssl_mode="verify-full",
        tls_files=TlsFiles("/ca.pem", "/c.pem", "/k.pem"),
        application_name="blue",
        connect_seconds=7,
    )


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgres://u@db1,db2:6432/name", (("db1", 5432), ("db2", 6432))),
        ("postgres://u:p%40ss@[::1]:6432,db2/name", (("::1", 6432), ("db2", 5432))),
        ("postgres://u@db1,db2/name?port=6432", (("db1", 6432), ("db2", 6432))),
        ("postgres://u@/name?host=/run/one,/run/two&port=5432,5433", (("/run/one", 5432), ("/run/two", 5433))),
        ("postgres://u@db1,db2/name?target_session_attrs=read-write", (("db1", 5432), ("db2", 5432))),
        ("postgres:///name", (("localhost", 5432),)),
    ],
)
def test_several_hosts_have_a_port_each(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    address = DatabaseAddress.parse(url)
    assert address.hosts == hosts
    assert (address.host, address.port) == hosts[0]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"postgres://u:{SECRET}#x@db/name", "a # that is not percent-encoded. Write it as %23"),
        (f"postgres://u:{SECRET}/x@db/name", "write them percent-encoded"),
        (f"postgres://u:{SECRET}@db:0/name", "a number from 1 to 65535"),
        (f"postgres://u:{SECRET}@db:65536/name", "a number from 1 to 65535"),
        (f"postgres://u:{SECRET}@db/name?port=x", "a number from 1 to 65535"),
        (f"postgres://u:{SECRET}@db", "must name a database"),
        (f"postgres://u:{SECRET}@db/name?sslmode=on", "sslmode in the database URL must be one of disable, allow"),
        (f"postgres://u:{SECRET}@db/name?sslrootcert=/ca.pem", "require sslmode=require, verify-ca or verify-full"),
        (f"postgres://u:{SECRET}@db/name?sslmode=prefer&sslcert=/c.pem", "require sslmode=require"),
        (f"postgres://u:{SECRET}@db/name?connect_timeout=0", "connect_timeout in the database URL must be 1 to 600"),
        (f"postgres://u:{SECRET}@db/name?connect_timeout=1.5", "connect_timeout in the database URL must be 1 to 600"),
        (f"postgres://u:{SECRET}@a,b/name?port=1,2,3", "one port, or one for each host"),
        (f"postgres://u:{SECRET}@a,b:x/name", "a number from 1 to 65535"),
        (f"postgres://u:{SECRET}@db/name?target_session_attrs=any", "must be read-write or primary"),
        (f"postgres://u:{SECRET}@db/name?pool=5", "unknown option: pool. It knows: application_name, connect_timeout"),
    ],
)
def test_a_mistake_is_a_sentence_without_the_password(url: str, sentence: str) -> None:
    with pytest.raises(SetupError) as refused:
        DatabaseAddress.parse(url)
    assert sentence in str(refused.value)
    assert SECRET not in str(refused.value)
