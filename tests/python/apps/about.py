# SPDX-License-Identifier: BSD-2-Clause
"""A Starlette application, as one writes it for any server."""

from __future__ import annotations

import hashlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def about(request: Request) -> JSONResponse:
    """Who asks, of whom, and what it sent."""
    digest = hashlib.sha256(await request.body()).hexdigest()
    return JSONResponse(
        {
            "client": request.client.host if request.client else None,
            "server": request.url.hostname,
            "version": request.scope["http_version"],
            "scheme": request.url.scheme,
            "sha256": digest,
        }
    )


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


app = Starlette(
    routes=[
        Route("/", about, methods=["GET", "POST"]),
        WebSocketRoute("/echo", echo),
    ]
)
