"""The cloud entry point: readable by everybody, also without credentials."""

from __future__ import annotations

from aiohttp import web

from stratuslab.cimi_api.handlers.resource import BASE
from stratuslab.cimi_api.model.entry_point import entry_point
from stratuslab.cimi_api.queries import parse_select
from stratuslab.cimi_api.rendering import MEDIA_TYPE, encode, select
from stratuslab.cimi_api.resources import TABLE
from stratuslab.cimi_api.settings import CimiSettings

_COLLECTIONS = {each.entry_point: each.collection for each in TABLE}
_MAX_RENDERED = 64


class EntryPointHandlers:
    """Renders the entry point once for each base URI."""

    def __init__(self, settings: CimiSettings) -> None:
        self._settings = settings
        self._rendered: dict[str, bytes] = {}

    async def read(self, request: web.Request) -> web.Response:
        """GET of the entry point."""
        base = request[BASE]
        body = self._rendered.get(base)
        if body is None:
            if len(self._rendered) >= _MAX_RENDERED:
                self._rendered.clear()
            body = self._rendered[base] = encode(
                entry_point(
                    base,
                    _COLLECTIONS,
                    name=self._settings.cloud_name,
                    provider=self._settings.provider,
                )
            )
        if request.rel_url.raw_query_string:
            names = parse_select(request.query)
            body = body if names is None else select(body, names)
        return web.Response(body=body, headers={"Content-Type": MEDIA_TYPE})
