# SPDX-License-Identifier: BSD-2-Clause
"""An aiohttp application: python -m aiohttp.web aiohttp_app:make"""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

BIG = bytes(range(256)) * 4096


async def about(request: web.Request) -> web.Response:
    digest = hashlib.sha256(await request.read()).hexdigest()
    return web.json_response({"client": request.remote, "sha256": digest})


async def file(_request: web.Request) -> web.FileResponse:
    """By sendfile, where there is such a thing."""
    return web.FileResponse(Path(__file__))


async def big(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for at in range(0, len(BIG), 65536):
        await answer.write(BIG[at : at + 65536])
    return answer


def make(_argv: list[str]) -> web.Application:
    app = web.Application(client_max_size=1 << 24)
    app.add_routes(
        [
            web.get("/", about),
            web.post("/", about),
            web.get("/file", file),
            web.get("/big", big),
        ]
    )
    return app
