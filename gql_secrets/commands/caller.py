"""Who runs a command: the caller for the audit."""

import getpass
import os

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface


def cli_caller() -> Caller:
    """Return the caller of every command: the system user, whose authority is access to database and pepper."""
    return Caller(f"cli:{system_user()}", ActorKind.CLI, Role.ADMIN, Surface.CLI)


def system_user() -> str:
    """Return the name of the system user who runs this process."""
    if not hasattr(os, "getuid"):
        return getpass.getuser()
    import pwd  # no such module on Windows

    # By user id: anyone can set the variable LOGNAME to another name.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
