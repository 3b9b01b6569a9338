# SPDX-License-Identifier: BSD-2-Clause
"""aioquic, a stock QUIC: a server that says back what came, or its client."""

import asyncio
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration


def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def echo() -> None:
        writer.write(await reader.read())
        writer.write_eof()

    asyncio.get_running_loop().create_task(echo())


async def server(host: str, port: int, cert: str, key: str) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
    configuration.load_cert_chain(cert, key)
    await serve(host, port, configuration=configuration, stream_handler=answer)
    print("serving", flush=True)
    await asyncio.Event().wait()


async def client(host: str, port: int) -> None:
    configuration = QuicConfiguration(
        alpn_protocols=["echo"], verify_mode=ssl.CERT_NONE
    )
    async with connect(host, port, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"x" * 200_000)
        writer.write_eof()
        print(len(await reader.read()))


role, host, port, *more = sys.argv[1:]
if role == "server":
    asyncio.run(server(host, int(port), *more))
else:
    asyncio.run(client(host, int(port)))
