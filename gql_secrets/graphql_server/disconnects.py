"""Clients that disconnect before they are answered: not a defect of the server."""

from aiohttp import web


def is_disconnected(request: web.BaseRequest) -> bool:
    """Return whether the connection is closed: then a ConnectionError is the client's doing and not a defect."""
    return request.transport is None or request.transport.is_closing()
