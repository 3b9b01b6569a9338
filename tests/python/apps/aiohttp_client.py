# SPDX-License-Identifier: BSD-2-Clause
"""aiohttp_client.py URL: gets it forty times at once, prints what came once."""

from __future__ import annotations

import asyncio
import sys

import aiohttp


async def main(url: str) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def get() -> str:
            async with session.get(url) as answer:
                return await answer.text()

        (text,) = set(await asyncio.gather(*(get() for _ in range(40))))
        print(text, end="")


asyncio.run(main(sys.argv[1]))
