# SPDX-License-Identifier: BSD-2-Clause
"""The applications that `inv bench python` measures, on whichever loop.

python -m tests.bench.python_server APPLICATION LOOP ADDRESS PORT; LOOP: uvloop, or a device of ours.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

BACKLOG = 4096


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    head = [(b"content-length", b"12"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"Hello, World"})


async def uvicorn(host: str, port: int) -> None:
    import uvicorn

    config = uvicorn.Config(
        asgi,
        host,
        port,
        http="httptools",
        lifespan="off",
        log_level="warning",
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("serving", flush=True)
    await task


async def aiohttp(host: str, port: int) -> None:
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="Hello, World")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    print("serving", flush=True)
    await asyncio.Event().wait()


async def protocol(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, host, port, backlog=BACKLOG)
    print("serving", flush=True)
    await server.serve_forever()


async def streams(host: str, port: int) -> None:
    server = await asyncio.start_server(talk, host, port, backlog=BACKLOG)
    print("serving", flush=True)
    await server.serve_forever()


APPLICATIONS = {f.__name__: f for f in (uvicorn, aiohttp, protocol, streams)}


def main() -> None:
    application, loop, host, port = sys.argv[1:]
    served = APPLICATIONS[application](host, int(port))
    if loop == "uvloop":
        import uvloop

        uvloop.run(served)
    else:
        import multistack

        multistack.run(served, device=loop)


if __name__ == "__main__":
    main()
