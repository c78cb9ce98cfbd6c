"""The floor of HTTP: a bare aiohttp handler on uvloop that sends fixed bytes.

`python -m bench.floor PORT FILE STATUS`: GET and POST of any path answer with the file's bytes;
a POST's body is read and parsed first, as every real handler must.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web


def application(body: bytes, status: int) -> web.Application:
    """The bare handler."""

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            msgspec.json.decode(await request.read())
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def main() -> None:
    """Serve until killed."""
    port, file, status = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    uvloop.install()
    web.run_app(
        application(file.read_bytes(), status),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
