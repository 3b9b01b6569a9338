# SPDX-License-Identifier: BSD-2-Clause
"""A FastAPI application with what its users use: models, dependencies, work in threads
and after the answer, answers in pieces, forms of URLs, WebSockets."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Order(BaseModel):
    name: str
    amounts: list[int]


class Receipt(BaseModel):
    name: str
    total: int
    client: str
    in_loop_thread: bool


loop_thread = 0
done: list[str] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    global loop_thread
    loop_thread = threading.get_ident()
    yield
    print("background:", *done)


app = FastAPI(lifespan=lifespan)


async def client(request: Request) -> AsyncIterator[str]:
    assert request.client is not None
    await asyncio.sleep(0)
    yield request.client.host


@app.post("/orders")
def order(
    order: Order, after: BackgroundTasks, client: Annotated[str, Depends(client)]
) -> Receipt:
    """Not a coroutine: anyio runs it in a thread."""
    after.add_task(done.append, order.name)
    here = threading.get_ident() == loop_thread
    return Receipt(
        name=order.name, total=sum(order.amounts), client=client, in_loop_thread=here
    )


@app.post("/digest")
async def digest(request: Request) -> str:
    """Of a body that is taken in pieces."""
    sum = hashlib.sha256()
    async for piece in request.stream():
        sum.update(piece)
    return sum.hexdigest()


@app.get("/pieces/{count}")
async def pieces(count: int, size: int = 1000) -> StreamingResponse:
    async def made() -> AsyncIterator[bytes]:
        for i in range(count):
            yield bytes([i % 256]) * size

    return StreamingResponse(made())


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
