"""Puts settings that were read again into effect in a running application."""

from collections.abc import Callable

from aiohttp import web

from gql_secrets.api.graphql.entry import load_trusted_documents
from gql_secrets.api.keys import GRAPHQL, SERVICES, TRUSTED_PROXIES
from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.domain.errors import SetupError
from gql_secrets.graphql_server.documents import InvalidTrustedDocuments
from gql_secrets.logs import set_log_level
from gql_secrets.settings import Settings
from gql_secrets.settings.reloading import Reload


class Reloader:
    """Reads the settings again and applies those that take effect without a restart, all of them or none.

    Args:
        app: an application that has started.
        running: the settings that it started with.
        read: reads the settings again.
    """

    def __init__(self, app: web.Application, running: Settings, read: Callable[[], Settings]) -> None:
        self._app = app
        self._read = read
        self._running = running

    async def reload(self) -> Reload:
        """Read the settings and apply them; return what changed. The file of trusted documents is read each time.

        Raises:
            SetupError: a setting is invalid, or a file cannot be read: nothing was changed.
        """
        read = self._read()
        reload = Reload.between(self._running, read)
        proxies = TrustedProxies.parse(read.trusted_proxies)
        documents = load_trusted_documents(read)
        try:
            await self._app[GRAPHQL].engine.trust(documents)
        except InvalidTrustedDocuments as error:
            raise SetupError(f"GQL_SECRETS_TRUSTED_DOCUMENTS: {error}") from error
        self._app[TRUSTED_PROXIES].become(proxies)
        self._app[SERVICES].set_limits(reload.settings)
        set_log_level(reload.settings.log_level)
        self._running = reload.settings
        return reload
