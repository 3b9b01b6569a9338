# SPDX-License-Identifier: BSD-2-Clause
"""httpx_client.py URL CA VERSION: posts to it twenty times at once, the body in pieces,
all by one AsyncClient (on anyio), over one connection of HTTP/2 or twenty of HTTP/1.1;
prints what came, which was each time the same, and what is said where nobody listens."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator

import httpx


async def body() -> AsyncIterator[bytes]:
    for i in range(100):
        yield bytes([i]) * 3000


async def main(url: str, ca: str, version: str) -> None:
    tls = ssl.create_default_context(cafile=ca)
    async with httpx.AsyncClient(http2=version == "2", verify=tls) as client:

        async def post() -> str:
            async with client.stream("POST", url, content=body()) as answer:
                answer.raise_for_status()
                said = json.loads(b"".join([p async for p in answer.aiter_bytes()]))
            return json.dumps({**said, "spoken": answer.http_version})

        (text,) = set(await asyncio.gather(*(post() for _ in range(20))))
        print(text)
        try:
            await client.get(httpx.URL(url).copy_with(port=1))
        except httpx.ConnectError as e:
            print(e)


asyncio.run(main(*sys.argv[1:]))
