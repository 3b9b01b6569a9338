# SPDX-License-Identifier: BSD-2-Clause
"""redis-py: many connections of a pool to a server elsewhere."""

import asyncio
import sys

import redis.asyncio


async def main() -> None:
    async with redis.asyncio.Redis(host=sys.argv[1], port=int(sys.argv[2])) as r:
        await asyncio.gather(*(r.incrby("sum", i) for i in range(100)))
        await r.set("large", b"x" * 1_000_000)
        print(int(await r.get("sum")), len(await r.get("large")))


asyncio.run(main())
