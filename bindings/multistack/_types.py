# SPDX-License-Identifier: BSD-2-Clause
"""What port.py takes and gives, and its way into the ABI's structs and back."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from ctypes import sizeof
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Literal, NamedTuple, TypeAlias

from multistack import _abi, _ffi

Frame: TypeAlias = "bytes | bytearray | memoryview"

PROTOCOLS = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_NATIVE: Literal["little", "big"] = sys.byteorder


class SlotFlag(IntFlag):
    """MS_SLOT_*: what `Meta.flags` says."""

    CSUM_PARTIAL = _abi.MS_SLOT_CSUM_PARTIAL
    CSUM_OK = _abi.MS_SLOT_CSUM_OK
    TAP_RX = _abi.MS_SLOT_TAP_RX
    TAP_TX = _abi.MS_SLOT_TAP_TX
    TAP_DROP = _abi.MS_SLOT_TAP_DROP


class Gso(IntEnum):
    """enum ms_gso: how a frame longer than the MTU is to be cut."""

    NONE = _abi.MS_GSO_NONE
    TCP4 = _abi.MS_GSO_TCP4
    TCP6 = _abi.MS_GSO_TCP6
    UDP = _abi.MS_GSO_UDP


class Feature(IntFlag):
    """MS_FEATURE_*: what an interface can do."""

    GSO_TCP = _abi.MS_FEATURE_GSO_TCP
    GSO_UDP = _abi.MS_FEATURE_GSO_UDP
    CSUM_TX = _abi.MS_FEATURE_CSUM_TX
    CSUM_RX = _abi.MS_FEATURE_CSUM_RX
    HOST = _abi.MS_FEATURE_HOST


class RouteState(IntEnum):
    """MS_ROUTE_*: whether `Route.dst_mac` is good."""

    REACHABLE = _abi.MS_ROUTE_REACHABLE
    PENDING = _abi.MS_ROUTE_PENDING
    LOCAL = _abi.MS_ROUTE_LOCAL


class Meta(NamedTuple):
    """Offload metadata of a frame (struct ms_slot); offsets in bytes."""

    flags: int = 0  # SlotFlag
    gso_type: int = Gso.NONE
    gso_size: int = 0  # payload bytes of each segment
    csum_start: int = 0  # from the frame's start
    csum_offset: int = 0  # from csum_start


class Tuple(NamedTuple):
    """What a port can claim; `port.unbind(*t)` gives it back."""

    addr: str  # "0.0.0.0" and "::" are the wildcards
    port: int  # host order; 0 for protocols without ports
    proto: str | int  # a name of PROTOCOLS, or the number if it has none


@dataclass(frozen=True)
class Route:
    """How to address a peer (struct ms_cmd_route)."""

    src: str  # address to send from
    src_mac: bytes  # 6 bytes
    dst_mac: bytes  # 6 bytes, of the next hop; good unless PENDING
    mtu: int  # bytes of IP
    state: RouteState
    gen: int  # compare with Port.route_gen: it moves when answers change


@dataclass(frozen=True)
class SwitchInfo:
    abi: int
    features: Feature
    nics: int
    ports: int
    tuples: int


@dataclass(frozen=True)
class Nic:
    """An attached interface."""

    name: str
    kind: str  # "xdp native", "tap", ...
    mac: bytes
    mtu: int
    vlan: int
    queues: int
    ports: int
    features: Feature


@dataclass(frozen=True)
class PortEntry:
    """An open port, anybody's."""

    id: int
    nic: str
    label: str
    uid: int
    pid: int
    tuples: int
    tx_rings: int
    rx_rings: int
    slots: int


@dataclass(frozen=True)
class TupleEntry:
    """A claimed tuple and who has it."""

    tuple: Tuple
    port_id: int
    nic: str
    uid: int
    pid: int


def counter_texts() -> dict[str, str]:
    """What each counter of stats() counts."""
    return {
        c.name.lower(): (_ffi.msport_counter_text(c) or b"").decode()
        for c in _abi.Counter
    }


def sized(struct_type: Any, **fields: Any) -> Any:
    return struct_type(size=sizeof(struct_type), **fields)


def text(text: str, room: int, what: str) -> bytes:
    raw = os.fsencode(text)
    if len(raw) >= room or b"\0" in raw:
        raise ValueError(f"{what} {text!r} has more than {room - 1} bytes, or a NUL")
    return raw


def uint(value: int, bits: int, what: str) -> int:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{what}={value} is not in 0..{(1 << bits) - 1}")
    return value


def protocol(proto: str | int) -> int:
    if isinstance(proto, str):
        try:
            return PROTOCOLS[proto.lower()]
        except KeyError:
            raise ValueError(
                f"protocol {proto!r} is none of {', '.join(PROTOCOLS)}; give its number"
            ) from None
    return uint(proto, 8, "proto")


def tuple_in(addr: str, port: int, proto: str | int) -> _abi.Tuple:
    arg = _abi.Tuple()
    number = protocol(proto)
    try:
        _ffi.msport_tuple(arg, addr.encode(), number, uint(port, 16, "port"))
    except OSError as e:
        raise ValueError(f"{addr!r} is not an IPv4 or IPv6 address") from e
    return arg


def tuple_out(arg: Any) -> Tuple:
    addr = bytes(arg.addr)[: 4 if arg.family == 4 else 16]
    port = int.from_bytes(arg.port_be.to_bytes(2, _NATIVE), "big")
    proto = _NAMES.get(arg.proto, arg.proto)
    return Tuple(str(ipaddress.ip_address(addr)), port, proto)


def attach_arg(
    nic: str,
    kind: str,
    options: Mapping[str, object],
    vlan: int,
    queues: int,
    flags: int,
) -> Any:
    pairs = ",".join(f"{key}={value}" for key, value in options.items())
    return sized(
        _abi.CmdAttach,
        flags=flags,
        nic=text(nic, _abi.MS_IFNAME_BYTES, "interface"),
        kind=text(kind, 16, "kind"),
        options=text(pairs, 128, "options"),
        vlan=uint(vlan, 16, "vlan"),
        queues=uint(queues, 16, "queues"),
    )
