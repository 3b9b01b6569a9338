# SPDX-License-Identifier: BSD-2-Clause
"""http3_client.py ADDRESS PORT CA: a request by HTTP/3; prints the answer's body."""

from __future__ import annotations

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

SENT = bytes(range(256)) * 1024


class Client(QuicConnectionProtocol):
    http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
            self.body = b""
            self.status = b""
            self.done = asyncio.get_running_loop().create_future()
        if self.http is None:
            return
        for got in self.http.handle_event(event):
            if isinstance(got, HeadersReceived):
                self.status = dict(got.headers)[b":status"]
            if isinstance(got, DataReceived):
                self.body += got.data
            if getattr(got, "stream_ended", False):
                self.done.set_result(None)

    async def post(self, authority: str) -> bytes:
        assert self.http is not None
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", b"/"),
        ]
        self.http.send_headers(stream, headers)
        self.http.send_data(stream, SENT, end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.done, 20)
        assert self.status == b"200", self.status
        return self.body


async def main(address: str, port: str, ca: str) -> None:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    configuration.load_verify_locations(ca)
    async with connect(
        address, int(port), configuration=configuration, create_protocol=Client
    ) as client:
        assert isinstance(client, Client)
        print((await client.post(address)).decode())


asyncio.run(main(*sys.argv[1:]))
