# SPDX-License-Identifier: BSD-2-Clause
"""websockets: what is said is said back."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve


async def talk(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    async with serve(talk, None, int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
