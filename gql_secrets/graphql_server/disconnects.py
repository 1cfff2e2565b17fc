"""Callers that leave before they are answered: no trouble of ours, and nothing to tell anybody."""

from aiohttp import web


def is_disconnected(request: web.BaseRequest) -> bool:
    """Whether the connection is gone: then a ConnectionError means that, and no defect."""
    return request.transport is None or request.transport.is_closing()
