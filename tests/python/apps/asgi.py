# SPDX-License-Identifier: BSD-2-Clause
"""Applications that know nothing of us: an ASGI one, and one of Starlette."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    loop = type(asyncio.get_running_loop()).__module__
    assert request.client is not None
    return PlainTextResponse(f"{loop} {request.client.host}")


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


app = Starlette(
    routes=[Route("/", hello), Route("/echo", echo, methods=["POST"])],
)
