# SPDX-License-Identifier: BSD-2-Clause
"""aiohttp: a server that asks another server."""

import sys

import aiohttp
from aiohttp import web


async def ask(request: web.Request) -> web.Response:
    async with aiohttp.ClientSession() as session, session.get(sys.argv[2]) as answer:
        return web.Response(text=f"it says {await answer.text()}")


async def file(request: web.Request) -> web.FileResponse:
    return web.FileResponse(__file__)


app = web.Application()
app.router.add_get("/", ask)
app.router.add_get("/file", file)
web.run_app(app, port=int(sys.argv[1]), print=None)
