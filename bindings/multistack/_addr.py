# SPDX-License-Identifier: BSD-2-Clause
"""Addresses between Python's tuples and utcp_addr_t, and whose they are."""

from __future__ import annotations

import functools
import socket
import struct
from ctypes import (
    CDLL,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_uint,
    c_void_p,
    get_errno,
    string_at,
)
from typing import Any

from multistack._utcp import Addr, mslink_peer

_PACKED = struct.Struct("!16sHBB")
_MAPPED = b"\0" * 10 + b"\xff\xff"
WILDCARDS = frozenset(("0.0.0.0", "::"))
NOWHERE = bytes(_PACKED.size)  # family 0: the connected peer


def is_loopback(host: str) -> bool:
    """Of a peer's numeric address. The unspecified one means this host, too."""
    return host.startswith("127.") or host == "::1" or host in WILDCARDS


def is_numeric(address: Any, family: int) -> bool:
    """Whether it can be packed without a name server."""
    try:
        socket.inet_pton(family, address[0].partition("%")[0])
    except (OSError, TypeError, AttributeError, IndexError):
        return False
    return isinstance(address, tuple)


def pack(
    address: Any, family: int, call: str = "connect", bound: bytes = NOWHERE
) -> bytes:
    """The bytes of a utcp_addr_t for what bind() and connect() take.

    An IPv4-mapped address is IPv4's. A name is looked up. For "sendto" the
    unspecified address is this host's, by what the socket is bound to. TypeError
    and OverflowError as a socket has them.
    """
    if not isinstance(address, tuple) or len(address) < 2:
        raise TypeError(
            f"{call}(): AF_INET address must be tuple, not {type(address).__name__}"
        )
    host, port = address[0], address[1]
    if not isinstance(port, int):
        raise TypeError(
            f"{type(port).__name__!r} object cannot be interpreted as an integer"
        )
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    raw = _numeric(host, family)
    version = 4 if len(raw) == 4 else 6
    if raw.startswith(_MAPPED):
        raw, version = raw[12:], 4
    packed = _PACKED.pack(raw, port, 0, version)
    if call == "sendto" and not any(raw):
        peer = as_c(packed)
        mslink_peer(peer, as_c(bound))
        packed = bytes(peer)
    return packed


@functools.lru_cache(1024)
def _numeric(host: str, family: int) -> bytes:
    if not host:
        return bytes(4 if family == socket.AF_INET else 16)
    plain = host.partition("%")[0]
    try:
        return socket.inet_pton(family, plain)
    except OSError:
        found = socket.getaddrinfo(host, 0, socket.AddressFamily(family))
        return socket.inet_pton(family, str(found[0][4][0]).partition("%")[0])


@functools.lru_cache(4096)
def _text(raw: bytes, family: int, mapped: bool) -> str:
    if family == 4:
        text = socket.inet_ntop(socket.AF_INET, raw[:4])
        return f"::ffff:{text}" if mapped else text
    return socket.inet_ntop(socket.AF_INET6, raw)


def unpack(packed: bytes, family: int) -> tuple[Any, ...]:
    """What getsockname() of a socket of `family` gives for a utcp_addr_t."""
    raw, port, _, version = _PACKED.unpack(packed)
    if family == socket.AF_INET:
        return _text(raw, 4, False), port
    return _text(raw, version, True), port, 0, 0


def as_c(packed: bytes) -> Addr:
    return Addr.from_buffer_copy(packed)


# ---- an interface's addresses -------------------------------------------------


class _IfAddrs(Structure):
    pass


_IfAddrs._fields_ = [
    ("next", POINTER(_IfAddrs)),
    ("name", c_char_p),
    ("flags", c_uint),
    ("addr", c_void_p),
    ("netmask", c_void_p),
    ("dst", c_void_p),
    ("data", c_void_p),
]


@functools.cache
def _libc() -> CDLL:
    libc = CDLL(None, use_errno=True)
    libc.getifaddrs.argtypes = [POINTER(POINTER(_IfAddrs))]
    libc.getifaddrs.restype = c_int
    libc.freeifaddrs.argtypes = [POINTER(_IfAddrs)]
    libc.freeifaddrs.restype = None
    return libc


def _sockaddr(at: int) -> str | None:
    """The text of a struct sockaddr, of the families that are ours."""
    head = string_at(at, 2)
    # BSD has a length before a family of one byte.
    family = head[1] if head[0] in (16, 28) and head[1] else head[0]
    if family == socket.AF_INET:
        return socket.inet_ntop(family, string_at(at + 4, 4))
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, string_at(at + 8, 16))
    return None


def of_interface(name: str) -> frozenset[str]:
    """The addresses that the host has on an interface, as text."""
    libc = _libc()
    first = POINTER(_IfAddrs)()
    if libc.getifaddrs(byref(first)):
        raise OSError(get_errno(), "getifaddrs")
    found = set()
    entry = first
    while entry:
        at = entry.contents
        if at.name == name.encode() and at.addr:
            text = _sockaddr(at.addr)
            if text:
                found.add(text)
        entry = at.next
    libc.freeifaddrs(first)
    return frozenset(found)


def host_source(packed: bytes) -> str | None:
    """The address from which the host would send there; None: no way."""
    raw, port, _, version = _PACKED.unpack(packed)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.connect((_text(raw, version, False), port or 9))
        except OSError:
            return None
        return str(s.getsockname()[0])
