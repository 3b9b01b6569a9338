# SPDX-License-Identifier: BSD-2-Clause
"""Socket options of the host's, by level and number, on a stack's sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import NamedTuple

from multistack._utcp import Got, Info, Opt


class _Option(NamedTuple):
    """unit: what one of the host's is in ours."""

    opt: Opt
    unit: int = 1


_S, _MS = 1_000_000_000, 1_000_000


def _table(udp: bool) -> dict[tuple[int, int], _Option]:
    found: dict[tuple[int, int], _Option] = {}

    def add(level: str, name: str, opt: Opt, unit: int = 1) -> None:
        if hasattr(socket, level) and hasattr(socket, name):
            key = getattr(socket, level), getattr(socket, name)
            found[key] = _Option(opt, unit)

    add("SOL_SOCKET", "SO_RCVBUF", Opt.RCVBUF)
    add("SOL_SOCKET", "SO_SNDBUF", Opt.SNDBUF)
    add("SOL_SOCKET", "SO_REUSEADDR", Opt.REUSEADDR)
    add("SOL_SOCKET", "SO_ERROR", Opt.ERROR)
    add("IPPROTO_IP", "IP_TTL", Opt.TTL)
    add("IPPROTO_IPV6", "IPV6_UNICAST_HOPS", Opt.TTL)
    add("IPPROTO_IPV6", "IPV6_V6ONLY", Opt.V6ONLY)
    if udp:
        return found
    add("SOL_SOCKET", "SO_KEEPALIVE", Opt.KEEPALIVE)
    add("SOL_SOCKET", "SO_RCVLOWAT", Opt.RCVLOWAT)
    add("IPPROTO_TCP", "TCP_NODELAY", Opt.NODELAY)
    add("IPPROTO_TCP", "TCP_CORK", Opt.CORK)
    add("IPPROTO_TCP", "TCP_QUICKACK", Opt.QUICKACK)
    add("IPPROTO_TCP", "TCP_MAXSEG", Opt.MAXSEG)
    add("IPPROTO_TCP", "TCP_KEEPIDLE", Opt.KEEPIDLE_NS, _S)
    add("IPPROTO_TCP", "TCP_KEEPINTVL", Opt.KEEPINTVL_NS, _S)
    add("IPPROTO_TCP", "TCP_KEEPCNT", Opt.KEEPCNT)
    add("IPPROTO_TCP", "TCP_USER_TIMEOUT", Opt.USER_TIMEOUT_NS, _MS)
    add("IPPROTO_TCP", "TCP_SYNCNT", Opt.SYN_RETRIES)
    add("IPPROTO_TCP", "TCP_WINDOW_CLAMP", Opt.WINDOW_CLAMP)
    add("IPPROTO_TCP", "TCP_DEFER_ACCEPT", Opt.DEFER_ACCEPT_NS, _S)
    add("IPPROTO_TCP", "TCP_LINGER2", Opt.FIN_TIMEOUT_NS, _S)
    add("IPPROTO_TCP", "TCP_NOTSENT_LOWAT", Opt.NOTSENT_LOWAT)
    add("IPPROTO_TCP", "TCP_FASTOPEN", Opt.FASTOPEN)
    return found


TCP = _table(udp=False)
UDP = _table(udp=True)
_DSCP = {
    (socket.IPPROTO_IP, socket.IP_TOS),
    (socket.IPPROTO_IPV6, getattr(socket, "IPV6_TCLASS", -1)),
}
# Remembered and without effect: they ask for what is so anyway, or for what a
# stack of one's own has no use for.
_KEPT = {
    (socket.SOL_SOCKET, getattr(socket, name))
    for name in ("SO_BROADCAST", "SO_REUSEPORT", "SO_PRIORITY", "SO_MARK")
    if hasattr(socket, name)
}
CONGESTION = (socket.IPPROTO_TCP, getattr(socket, "TCP_CONGESTION", -1))
TCP_INFO = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", -1))
LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)
# Linux's IP_MTU_DISCOVER, IPV6_MTU_DISCOVER; Python has no names for them.
_MTU_DISCOVER = {(socket.IPPROTO_IP, 10), (socket.IPPROTO_IPV6, 23)}


def unknown() -> OSError:
    return OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def lookup(key: tuple[int, int], udp: bool) -> _Option | None:
    """Ours for the host's; None: it is only remembered. OSError ENOPROTOOPT."""
    found = (UDP if udp else TCP).get(key)
    if found:
        return found
    if key in _DSCP:
        return _Option(Opt.DSCP)
    if udp and key in _MTU_DISCOVER:
        return _Option(Opt.PMTUD)
    if key in _KEPT:
        return None
    raise unknown()


def to_ours(option: _Option, value: int) -> int:
    if option.opt == Opt.DSCP:
        return value >> 2
    if option.opt == Opt.PMTUD:
        return min(value, 2)
    return value * option.unit


def to_host(option: _Option, value: int) -> int:
    if option.opt == Opt.DSCP:
        return value << 2
    return value // option.unit


# struct tcp_info's states, by ours.
_STATES = (7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6)
_HEAD = struct.Struct("=8B24I")


def tcp_info(info: Info) -> bytes:
    """The first 104 bytes of Linux's struct tcp_info."""
    us = 1000
    mss = max(info.mss, 1)
    got = Got(info.negotiated)
    options = (
        (1 if got & Got.TIMESTAMPS else 0)
        | (2 if got & Got.SACK else 0)
        | (4 if got & Got.WSCALE else 0)
        | (8 if got & Got.ECN else 0)
    )
    never = 0xFFFFFFFF
    ssthresh = info.ssthresh_bytes
    return _HEAD.pack(
        *(
            _STATES[info.state],
            info.recovery,
            min(info.backoff, 255),
            info.probes & 255,
        ),
        *(min(info.backoff, 255), options, info.snd_wscale | info.rcv_wscale << 4, 0),
        *(info.rto_ns // us, 40000, info.mss, info.rcv_mss),
        *(info.unacked_bytes // mss, info.sacked_bytes // mss),
        *(info.lost_bytes // mss, info.retrans_out_bytes // mss, 0),
        *(info.last_sent_ms, 0, min(info.last_data_ms, never), info.last_heard_ms),
        *(info.pmtu, info.rcv_wnd_bytes, info.rtt_ns // us, info.rttvar_ns // us),
        *(0x7FFFFFFF if ssthresh == never else ssthresh // mss, info.cwnd_bytes // mss),
        *(info.mss, info.reordering_segs, 0, info.rcv_wnd_bytes),
        info.total_retrans_segs & never,
    )
