# SPDX-License-Identifier: BSD-2-Clause
"""A network stack scripted in Python.

    python -m demo.stack DEVICE PORT ADDRESS...

The same as lib/examples/udp_echo.c: it claims a UDP port on addresses that the
host's own stack goes on using for everything else, answers "time" and "who",
and sends anything else back.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import multistack
from demo import packet
from demo.user import become

CHECKED = multistack.SlotFlag.CSUM_OK | multistack.SlotFlag.CSUM_PARTIAL


def reply(frame: bytes, flags: int, answered: int) -> bytes | None:
    """The answer to a frame; None if it asks nothing. flags: SlotFlag."""
    asked = packet.parse(frame, bool(flags & CHECKED))
    if asked is None:
        return None
    word = asked.payload.strip()
    if word == b"time":
        text = time.strftime("%FT%TZ\n", time.gmtime()).encode()
    elif word == b"who":
        text = (
            f"Python stack, process {os.getpid()} of user {os.getuid()}, {answered} answered\n"
        ).encode()
    else:
        text = asked.payload
    return packet.build(asked.dst, asked.src, text)


def serve(port: multistack.Port) -> None:
    """Answers for ever."""
    answered = 0
    while port.wait():
        with port.recv_batch() as frames:
            said = (
                reply(bytes(frame), frames.meta(i).flags, answered)
                for i, frame in enumerate(frames)
            )
            out = [frame for frame in said if frame is not None]
        port.send_batch(out)
        answered += len(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="A UDP stack in Python.")
    parser.add_argument("device", help='for example "daemon:eth0"')
    parser.add_argument("port", type=int)
    parser.add_argument("address", nargs="+")
    parser.add_argument("--user", type=int, default=0, help="go on as this user id")
    parser.add_argument("--group", type=int, action="append", help="and in this group")
    args = parser.parse_args()
    become(args.user, args.group)
    try:
        with multistack.Port(args.device, label="stack.py") as port:
            for address in args.address:
                port.bind(address, args.port, "udp")
                print(f"stack.py: claimed {address} port {args.port}", flush=True)
            serve(port)
    except KeyboardInterrupt:
        pass
    except OSError as e:
        sys.exit(f"stack.py: {e.strerror}")


if __name__ == "__main__":
    main()
