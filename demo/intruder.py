# SPDX-License-Identifier: BSD-2-Clause
"""A stack that tries what it must not; says as JSON what came of it.

    python -m demo.intruder DEVICE JSON

It runs in the server's namespace as a user of its own, with a port of its own.
JSON names the plan: {"mac", "addr", "own", "victim", "peer", "peer_mac",
"peer_port", "web", "other", "low", "mark"}.
"""

from __future__ import annotations

import argparse
import errno
import json
import time
from typing import Any

import multistack
from demo import packet
from demo.user import become


def refused(
    port: multistack.Port, addr: str, number: int, proto: str
) -> dict[str, Any]:
    """What binding to this says: the error's name and words."""
    try:
        port.bind(addr, number, proto)
    except OSError as e:
        return {
            "error": errno.errorcode.get(e.errno or 0, "?"),
            "text": e.strerror or str(e),
        }
    port.unbind(addr, number, proto)
    return {"error": "", "text": "it was allowed"}


def forge(port: multistack.Port, plan: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Sends what no port may send, and one thing it may, to compare."""
    mac, peer_mac = bytes.fromhex(plan["mac"]), bytes.fromhex(plan["peer_mac"])
    mark = str(plan["mark"]).encode()
    to = packet.Endpoint(peer_mac, plan["peer"], plan["peer_port"])

    def udp(number: int, note: bytes, source_mac: bytes = mac) -> bytes:
        return packet.build(
            packet.Endpoint(source_mac, plan["addr"], number), to, mark + note
        )

    frames = {
        "own": udp(plan["own"], b" own"),
        "foreign": udp(plan["victim"], b" foreign"),
        "unbound": udp(plan["own"] + 1, b" unbound"),
        "mac": udp(plan["own"], b" mac", b"\x02\x66\x66\x66\x66\x66"),
        "arp": packet.arp_claim(mac, plan["addr"], mark + b" arp"),
    }
    moved: dict[str, dict[str, int]] = {}
    for name, frame in frames.items():
        before = port.stats()
        port.send(frame)
        for _ in range(10000):  # the switch looks at the ring in its own time
            moved[name] = {
                k: v - before[k] for k, v in port.stats().items() if v != before[k]
            }
            if any(k == "tx_frames" or k.startswith("drop_tx") for k in moved[name]):
                break
            time.sleep(0.005)
    return moved


def main() -> None:
    parser = argparse.ArgumentParser(description="Tries what a stack must not.")
    parser.add_argument("device")
    parser.add_argument("plan", type=json.loads)
    parser.add_argument("--user", type=int, default=0)
    parser.add_argument("--group", type=int, action="append")
    args = parser.parse_args()
    become(args.user, args.group)
    plan = args.plan
    with multistack.Port(args.device, label="intruder") as port:
        said = {
            "host": refused(port, plan["addr"], plan["web"], "tcp"),
            "stack": refused(port, plan["addr"], plan["victim"], "udp"),
            "low": refused(port, plan["addr"], plan["low"], "udp"),
            "stranger": refused(port, plan["other"], plan["own"], "udp"),
        }
        port.bind(plan["addr"], plan["own"], "udp")
        print(json.dumps({"binds": said, "sends": forge(port, plan)}), flush=True)


if __name__ == "__main__":
    main()
