# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel says of its interfaces: driver, XDP, offloads."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCETHTOOL = 0x8913, 0x8921, 0x8946
_IFF_UP = 1
_GDRVINFO, _DRVINFO_BYTES = 3, 196
# uapi/linux/ethtool.h: a command that asks, and what it asks for.
_OFFLOADS = {"rx-checksum": 0x14, "tx-checksum": 0x16, "tso": 0x1E, "gro": 0x2B}

# uapi/linux/genetlink.h, uapi/linux/netdev.h (Linux 6.3)
_NETLINK_GENERIC, _GENL_CTRL = 16, 0x10
_GETFAMILY, _ATTR_FAMILY_ID, _ATTR_FAMILY_NAME = 3, 1, 2
_DEV_GET, _DEV_IFINDEX, _DEV_XDP_FEATURES = 1, 1, 3
_XDP_BASIC, _XDP_REDIRECT, _XDP_ZEROCOPY = 1, 2, 8
_NLM_REQUEST, _NLM_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3


@dataclass(frozen=True)
class Link:
    """xdp: "native", "native, zero copy", "generic", or "" where nobody says."""

    name: str
    driver: str
    up: bool
    mtu: int
    queues: int
    xdp: str
    offloads: tuple[str, ...]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            break
        found[kind & 0x3FFF] = data[4:size]
        data = data[(size + 3) & ~3 :]
    return found


def _ask(
    s: socket.socket, family: int, command: int, attributes: bytes, flags: int = 0
) -> Iterator[dict[int, bytes]]:
    """Answers to one message of generic netlink. OSError: the kernel's."""
    body = struct.pack("=BBH", command, 1, 0) + attributes
    head = struct.pack("=IHHII", 16 + len(body), family, _NLM_REQUEST | flags, 1, 0)
    s.send(head + body)
    more = True
    while more:
        data = s.recv(65536)
        more = bool(flags)
        while len(data) >= 16:
            size, kind = struct.unpack_from("=IH", data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = struct.unpack_from("=i", data, 16)[0]
                raise OSError(-code, os.strerror(-code))
            yield _attributes(data[20:size])
            data = data[(max(size, 16) + 3) & ~3 :]


def _xdp_features() -> dict[int, int]:
    """By index of the interface; none where the kernel is older than 6.3."""
    found: dict[int, int] = {}
    with (
        suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as s,
    ):
        s.settimeout(2)
        name = b"netdev\0\0"
        attribute = struct.pack("=HH", 4 + 7, _ATTR_FAMILY_NAME) + name
        (told,) = _ask(s, _GENL_CTRL, _GETFAMILY, attribute)
        family = struct.unpack("=H", told[_ATTR_FAMILY_ID][:2])[0]
        for device in _ask(s, family, _DEV_GET, b"", _NLM_DUMP):
            if {_DEV_IFINDEX, _DEV_XDP_FEATURES} <= device.keys():
                index = struct.unpack("=I", device[_DEV_IFINDEX][:4])[0]
                found[index] = struct.unpack("=Q", device[_DEV_XDP_FEATURES][:8])[0]
    return found


def _xdp(features: int | None) -> str:
    if features is None:
        return ""
    if features & (_XDP_BASIC | _XDP_REDIRECT) != _XDP_BASIC | _XDP_REDIRECT:
        return "generic"
    return "native, zero copy" if features & _XDP_ZEROCOPY else "native"


def _ethtool(s: socket.socket, name: str, request: bytes) -> bytes:
    """OSError: EOPNOTSUPP and others."""
    buf = array.array("B", request)
    ifr = struct.pack("@16sP16x", name.encode(), buf.buffer_info()[0])
    fcntl.ioctl(s, _SIOCETHTOOL, ifr)
    return buf.tobytes()


def _driver(s: socket.socket, name: str) -> str:
    request = struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_BYTES, b"\0")
    with suppress(OSError):
        return _ethtool(s, name, request)[4:36].rstrip(b"\0").decode(errors="replace")
    return ""


def _offloads(s: socket.socket, name: str) -> tuple[str, ...]:
    on = []
    for offload, command in _OFFLOADS.items():
        with suppress(OSError):
            told = _ethtool(s, name, struct.pack("=II", command, 0))
            if struct.unpack("=II", told)[1]:
                on.append(offload)
    return tuple(on)


def _asked(s: socket.socket, name: str, request: int, kind: str) -> int:
    """A number behind the name in struct ifreq."""
    ifr = fcntl.ioctl(s, request, struct.pack("@16s24x", name.encode()))
    return int(struct.unpack_from(kind, ifr, 16)[0])


def _link(s: socket.socket, name: str, features: int | None) -> Link:
    queues = Path("/sys/class/net", name, "queues").glob("rx-*")
    return Link(
        name,
        _driver(s, name),
        bool(_asked(s, name, _SIOCGIFFLAGS, "=H") & _IFF_UP),
        _asked(s, name, _SIOCGIFMTU, "=i"),
        sum(1 for _ in queues),
        _xdp(features),
        _offloads(s, name),
    )


def links() -> list[Link]:
    """Of this network namespace. queues: 0 where /sys is another's."""
    features = _xdp_features()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for index, name in socket.if_nameindex():
            with suppress(OSError):  # it has gone meanwhile
                found.append(_link(s, name, features.get(index)))
    return found
