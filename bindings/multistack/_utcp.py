# SPDX-License-Identifier: BSD-2-Clause
"""lib/include/multistack/utcp.h, link.h and batch.h, mirrored and declared.

Names are C's, structs without prefix (`utcp_info_t` is `Info`, but
`mslink_options_t` is `LinkOptions`, `msbatch_cmd_t` is `BatchCmd`). What they mean stands in the headers;
tests/python/test_utcp_abi.py compares everything here with what the compiler
makes of them, both ways. Congestion control has a module of its own.

Calls raise what they return as an error: OSError in the subclass that Python
has for the errno, so BlockingIOError for -EAGAIN and -EINPROGRESS.
"""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    PyDLL,
    Structure,
    addressof,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum, IntFlag
from typing import Any

from multistack import _abi
from multistack._ffi import _by_code, _by_err, _declare, _never, library_path

UTCP_NEVER = (1 << 64) - 1
UTCP_DGRAMS_MAX = 128

UTCP_PKT_MORE = 0x0001
UTCP_PKT_CSUM_PARTIAL = 0x0002
UTCP_PKT_CSUM_OK = 0x0004
UTCP_PKT_PARTS_MAX = 40

UTCP_GSO_NONE = 0
UTCP_GSO_TCP4 = 1
UTCP_GSO_TCP6 = 4
UTCP_GSO_UDP = 5

UTCP_OFFLOAD_CSUM = 1 << 0
UTCP_OFFLOAD_GSO_TCP = 1 << 1
UTCP_OFFLOAD_GSO_UDP = 1 << 2
UTCP_OFFLOAD_CSUM_TRUST = 1 << 3

UTCP_IN = 0x01
UTCP_OUT = 0x04
UTCP_ERR = 0x08
UTCP_HUP = 0x10
UTCP_RDHUP = 0x20

UTCP_MSG_PEEK = 0x02
UTCP_MSG_MORE = 0x8000
UTCP_MSG_EOR = 0x80

UTCP_SHUT_RD = 0
UTCP_SHUT_WR = 1
UTCP_SHUT_RDWR = 2

UTCP_GOT_TIMESTAMPS = 1 << 0
UTCP_GOT_SACK = 1 << 1
UTCP_GOT_WSCALE = 1 << 2
UTCP_GOT_ECN = 1 << 3
UTCP_GOT_FASTOPEN = 1 << 4
UTCP_GOT_COOKIE = 1 << 5
UTCP_GOT_EXT = 1 << 6
UTCP_GOT_EXT_ECN = 1 << 7


class Ready(IntFlag):
    """UTCP_IN and so on: what utcp_poll() and events say."""

    IN = UTCP_IN
    OUT = UTCP_OUT
    ERR = UTCP_ERR
    HUP = UTCP_HUP
    RDHUP = UTCP_RDHUP


class Got(IntFlag):
    """UTCP_GOT_*: what a connection negotiated."""

    TIMESTAMPS = UTCP_GOT_TIMESTAMPS
    SACK = UTCP_GOT_SACK
    WSCALE = UTCP_GOT_WSCALE
    ECN = UTCP_GOT_ECN
    FASTOPEN = UTCP_GOT_FASTOPEN
    COOKIE = UTCP_GOT_COOKIE
    EXT = UTCP_GOT_EXT
    EXT_ECN = UTCP_GOT_EXT_ECN


# Names in the order of the headers, which make three of these by macros.
State = IntEnum(
    "State",
    "CLOSED LISTEN SYN_SENT SYN_RECEIVED ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 "
    "CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT",
    start=0,
)
Opt = IntEnum(
    "Opt",
    "NODELAY CORK QUICKACK MAXSEG SNDBUF RCVBUF SNDBUF_MAX RCVBUF_MAX WINDOW_CLAMP "
    "KEEPALIVE KEEPIDLE_NS KEEPINTVL_NS KEEPCNT USER_TIMEOUT_NS RETRIES SYN_RETRIES "
    "SYNACK_RETRIES NOTSENT_LOWAT RCVLOWAT LINGER FIN_TIMEOUT_NS MSL_NS FASTOPEN "
    "FASTOPEN_CONNECT FASTOPEN_NOCOOKIE DEFER_ACCEPT_NS ECN SACK TIMESTAMPS WSCALE "
    "RACK PACING MAX_PACING_RATE INITCWND INITRTO_NS RTO_MIN_NS RTO_MAX_NS DELACK_NS "
    "ACK_EVERY PMTUD DSCP TTL TTL_MIN V6ONLY REUSEADDR ERROR SOFT_ERRORS",
    start=0,
)
StackCounter = IntEnum(
    "StackCounter",
    "IN_PKTS IN_BYTES OUT_PKTS OUT_BYTES OUT_SEGS RETRANS_SEGS TIMEOUTS TLP "
    "FAST_RECOVERY UNDO DSACK_IN DSACK_OUT REORDER OFO CONNECTS ACCEPTS CONNECT_FAILS "
    "RESETS_IN RESETS_OUT CHALLENGE_ACKS KEEPALIVES PROBES COOKIES_OUT COOKIES_IN "
    "FASTOPEN_IN FASTOPEN_OUT ECN_CE ECN_ECE PMTU UDP_IN UDP_OUT TIMEWAITS "
    "TIMEWAIT_REUSED DROP_SHORT DROP_HEADER DROP_CSUM DROP_PROTO DROP_FRAGMENT "
    "DROP_SOURCE DROP_CLOSED DROP_STATE DROP_PAWS DROP_WINDOW DROP_ACK DROP_SYN "
    "DROP_ACCEPT DROP_RCVBUF DROP_NOMEM DROP_LIMIT DROP_TIMEWAIT ACKS_FILTERED "
    "EXT_OPENS EXT_LEAVES EXT_COOKIES EXT_FAULTS EXT_ENDS DROP_EXT",
    start=0,
)
LinkCounter = IntEnum(
    "LinkCounter",
    "POLLS VIEWS_IN VIEWS_OUT SLEEPS LEARNT ROUTES HELD NO_ROOM DROP_NO_ROUTE "
    "DROP_HELD DROP_HOLD_FULL LOOPED DROP_LOOP_FULL",
    start=0,
)

MSLINK_SPIN_NEVER = 0xFFFFFFFF

MSBATCH_TELL = 0
MSBATCH_READ = 1
MSBATCH_HOLD = 2
MSBATCH_ACCEPT = 3

MSBATCH_READY = 0x01
MSBATCH_DATA = 0x02
MSBATCH_EOF = 0x04
MSBATCH_ERROR = 0x08
MSBATCH_ROOM = 0x10
MSBATCH_ACCEPTED = 0x20
MSBATCH_SHORT = 0x40
MSBATCH_DGRAM = 0x80

MSBATCH_WRITE = 0
MSBATCH_SENDTO = 1
MSBATCH_SHUTDOWN = 2
MSBATCH_CLOSE = 3
MSBATCH_ABORT = 4
MSBATCH_MODE = 5

MSBATCH_ALL = 1
MSBATCH_COMMANDS = 1024
MSBATCH_SLEEP = 1

UTCP_OPT_MAX = len(Opt)
UTCP_CTR_MAX = len(StackCounter)
MSLINK_CTR_MAX = len(LinkCounter)


class Addr(Structure):
    _fields_ = [
        ("addr", c_uint8 * 16),
        ("port_be", c_uint16),
        ("proto", c_uint8),
        ("family", c_uint8),
    ]


class Pkt(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("len", c_uint32),
        ("flags", c_uint16),
        ("gso_type", c_uint8),
        ("reserved", c_uint8),
        ("gso_size", c_uint16),
        ("csum_start", c_uint16),
        ("csum_offset", c_uint16),
        ("pad", c_uint16),
    ]


CLAIM = CFUNCTYPE(c_int, c_void_p, POINTER(Addr), c_uint8)
UNCLAIM = CFUNCTYPE(None, c_void_p, POINTER(Addr), c_uint8)
ALLOC = CFUNCTYPE(c_void_p, c_void_p, c_size_t)
RELEASE = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t)


class Config(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("mtu", c_uint32),
        ("seed", c_uint8 * 32),
        ("now_ns", c_uint64),
        ("l2_bytes", c_uint32),
        ("offloads", c_uint32),
        ("gso_max_bytes", c_uint32),
        ("max_socks", c_uint32),
        ("max_syns", c_uint32),
        ("max_timewait", c_uint32),
        ("max_bytes", c_uint64),
        ("icmp_per_s", c_uint32),
        ("challenge_per_s", c_uint32),
        ("cc", c_char_p),
        ("claim", CLAIM),
        ("unclaim", UNCLAIM),
        ("claim_arg", c_void_p),
        ("alloc", ALLOC),
        ("release", RELEASE),
        ("alloc_arg", c_void_p),
    ]


class Usage(Structure):
    _fields_ = [
        ("mem_bytes", c_uint64),
        ("buffered_bytes", c_uint64),
        ("socks", c_uint32),
        ("syns", c_uint32),
        ("timewaits", c_uint32),
        ("pad", c_uint32),
    ]


class Event(Structure):
    _fields_ = [
        ("sock", c_void_p),
        ("udp", c_void_p),
        ("user", c_void_p),
        ("ready", c_uint32),
        ("pad", c_uint32),
    ]


class View(Structure):
    _fields_ = [("data", c_void_p), ("len", c_size_t)]


class Buf(Structure):
    pass


DONE = CFUNCTYPE(None, POINTER(Buf), c_int)
Buf._fields_ = [
    ("data", c_void_p),
    ("len", c_size_t),
    ("done", DONE),
    ("user", c_void_p),
    ("next_", POINTER(Buf)),
    ("seq_", c_uint64),
]


class Info(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("state", c_uint8),
        ("recovery", c_uint8),
        ("snd_wscale", c_uint8),
        ("rcv_wscale", c_uint8),
        ("negotiated", c_uint32),
        ("mss", c_uint32),
        ("rcv_mss", c_uint32),
        ("pmtu", c_uint32),
        ("rtt_ns", c_uint64),
        ("rttvar_ns", c_uint64),
        ("min_rtt_ns", c_uint64),
        ("rto_ns", c_uint64),
        ("backoff", c_uint32),
        ("cwnd_bytes", c_uint32),
        ("ssthresh_bytes", c_uint32),
        ("snd_wnd_bytes", c_uint32),
        ("rcv_wnd_bytes", c_uint32),
        ("unacked_bytes", c_uint32),
        ("sacked_bytes", c_uint32),
        ("lost_bytes", c_uint32),
        ("retrans_out_bytes", c_uint32),
        ("notsent_bytes", c_uint32),
        ("unread_bytes", c_uint32),
        ("reordering_segs", c_uint32),
        ("total_retrans_segs", c_uint64),
        ("bytes_sent", c_uint64),
        ("bytes_acked", c_uint64),
        ("bytes_received", c_uint64),
        ("bytes_retrans", c_uint64),
        ("segs_in", c_uint64),
        ("segs_out", c_uint64),
        ("delivered_bytes", c_uint64),
        ("delivered_ce_bytes", c_uint64),
        ("pacing_rate", c_uint64),
        ("delivery_rate", c_uint64),
        ("busy_ns", c_uint64),
        ("rwnd_limited_ns", c_uint64),
        ("sndbuf_limited_ns", c_uint64),
        ("snd_nxt", c_uint32),
        ("snd_una", c_uint32),
        ("rcv_nxt", c_uint32),
        ("dsack_dups", c_uint32),
        ("cc", c_char * 16),
        ("last_sent_ms", c_uint32),
        ("last_heard_ms", c_uint32),
        ("last_data_ms", c_uint32),
        ("probes", c_uint32),
        ("soft_error", c_uint32),
        ("pad", c_uint32),
    ]


class Dgram(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("len", c_size_t),
        ("peer", Addr),
        ("local", Addr),
        ("gso_size", c_uint32),
        ("tos", c_uint8),
        ("ttl", c_uint8),
        ("pad", c_uint16),
    ]


class LinkOptions(Structure):
    """mslink_options_t"""

    _fields_ = [
        ("size", c_uint32),
        ("rings", c_uint16),
        ("num_addrs", c_uint16),
        ("slots", c_uint32),
        ("buf_bytes", c_uint32),
        ("no_offloads", c_uint32),
        ("label", c_char * 16),
        ("addrs", POINTER(Addr)),
        ("config", Config),
    ]


class BatchEvent(Structure):
    """msbatch_event_t"""

    _fields_ = [
        ("id", c_uint32),
        ("what", c_uint16),
        ("error", c_uint16),
        ("offset", c_uint32),
        ("len", c_uint32),
        ("arg", c_uint32),
        ("pad", c_uint32),
    ]


class BatchCmd(Structure):
    """msbatch_cmd_t"""

    _fields_ = [
        ("id", c_uint32),
        ("op", c_uint32),
        ("len", c_uint32),
        ("arg", c_uint32),
    ]


class BatchView(Structure):
    """msbatch_view_t"""

    _fields_ = [
        ("events", c_void_p),
        ("arena", c_void_p),
        ("max_events", c_uint32),
        ("arena_bytes", c_uint32),
        ("num_events", c_uint32),
        ("num_answers", c_uint32),
        ("timeout_ns", c_uint64),
        ("error", c_int32),
        ("pad", c_uint32),
    ]


# ---- calls ------------------------------------------------------------------

_stack = c_void_p
_sock = c_void_p
_udp = c_void_p
_link = c_void_p
_out = POINTER(c_void_p)
_addr = POINTER(Addr)
_counts = POINTER(c_uint64)


# None of these waits for anything, so they keep the interpreter's lock: it is
# what lets another thread keep a stack alive (_keeper.py), and they cost less.
_held = PyDLL(str(library_path))


def _quick(name: str, restype: Any, check: Any, *argtypes: Any) -> Any:
    return _declare(name, restype, check, *argtypes, lib=_held)


def _void(name: str, *argtypes: Any) -> Any:
    return _quick(name, None, _never, *argtypes)


def _int(name: str, *argtypes: Any) -> Any:
    return _quick(name, c_int, _by_code, *argtypes)


def _plain(name: str, restype: Any, *argtypes: Any) -> Any:
    return _quick(name, restype, _never, *argtypes)


utcp_create = _int("utcp_create", _out, POINTER(Config))
utcp_destroy = _void("utcp_destroy", _stack)
utcp_address = _int("utcp_address", _stack, _addr, c_int)
utcp_set_mtu = _int("utcp_set_mtu", _stack, c_uint32)
utcp_set_offloads = _int("utcp_set_offloads", _stack, c_uint32)
utcp_advance = _void("utcp_advance", _stack, c_uint64)
utcp_next_ns = _plain("utcp_next_ns", c_uint64, _stack)
utcp_now_ns = _plain("utcp_now_ns", c_uint64, _stack)
utcp_input = _int("utcp_input", _stack, POINTER(Pkt), c_uint)
utcp_retain = _void("utcp_retain", _stack)
utcp_output = _int("utcp_output", _stack, POINTER(Pkt), c_uint)

utcp_counters = _plain("utcp_counters", c_uint, _stack, _counts, c_uint)
utcp_counter_name = _plain("utcp_counter_name", c_char_p, c_uint)
utcp_counter_text = _plain("utcp_counter_text", c_char_p, c_uint)
utcp_usage = _void("utcp_usage", _stack, POINTER(Usage))
utcp_events = _int("utcp_events", _stack, POINTER(Event), c_uint)

utcp_open = _int("utcp_open", _stack, c_int, _out)
utcp_bind = _int("utcp_bind", _sock, _addr)
utcp_listen = _int("utcp_listen", _sock, c_int)
utcp_accept = _int("utcp_accept", _sock, _out)
utcp_connect = _int("utcp_connect", _sock, _addr)
utcp_read = _quick("utcp_read", c_ssize_t, _by_code, _sock, c_void_p, c_size_t, c_int)
utcp_views = _int("utcp_views", _sock, POINTER(View), c_uint)
utcp_consume = _int("utcp_consume", _sock, c_size_t)
utcp_readable = _plain("utcp_readable", c_size_t, _sock)
utcp_write = _quick("utcp_write", c_ssize_t, _by_code, _sock, c_void_p, c_size_t, c_int)
utcp_send = _int("utcp_send", _sock, POINTER(Buf), c_int)
utcp_shutdown = _int("utcp_shutdown", _sock, c_int)
utcp_close = _void("utcp_close", _sock)
utcp_abort = _void("utcp_abort", _sock)
utcp_poll = _plain("utcp_poll", c_uint32, _sock)
utcp_set_user = _void("utcp_set_user", _sock, c_void_p)
utcp_user = _plain("utcp_user", c_void_p, _sock)
utcp_stack = _plain("utcp_stack", c_void_p, _sock)
utcp_next_sock = _plain("utcp_next_sock", c_void_p, _stack, _sock)
utcp_getsockname = _int("utcp_getsockname", _sock, _addr)
utcp_getpeername = _int("utcp_getpeername", _sock, _addr)
utcp_set = _int("utcp_set", _sock, c_int, c_int64)
utcp_get = _int("utcp_get", _sock, c_int, POINTER(c_int64))
utcp_set_cc = _int("utcp_set_cc", _sock, c_char_p)
utcp_cc = _plain("utcp_cc", c_char_p, _sock)
utcp_opt_name = _plain("utcp_opt_name", c_char_p, c_uint)
utcp_opt_text = _plain("utcp_opt_text", c_char_p, c_uint)
utcp_info = _int("utcp_info", _sock, POINTER(Info))
utcp_cc_name = _plain("utcp_cc_name", c_char_p, _stack, c_uint)
utcp_cc_default = _int("utcp_cc_default", _stack, c_char_p)

utcp_udp_open = _int("utcp_udp_open", _stack, c_int, _out)
utcp_udp_bind = _int("utcp_udp_bind", _udp, _addr)
utcp_udp_connect = _int("utcp_udp_connect", _udp, _addr)
utcp_udp_send = _int("utcp_udp_send", _udp, POINTER(Dgram), c_uint)
utcp_udp_recv = _int("utcp_udp_recv", _udp, POINTER(Dgram), c_uint)
utcp_udp_close = _void("utcp_udp_close", _udp)
utcp_udp_poll = _plain("utcp_udp_poll", c_uint32, _udp)
utcp_udp_getsockname = _int("utcp_udp_getsockname", _udp, _addr)
utcp_udp_getpeername = _int("utcp_udp_getpeername", _udp, _addr)
utcp_udp_set_user = _void("utcp_udp_set_user", _udp, c_void_p)
utcp_udp_user = _plain("utcp_udp_user", c_void_p, _udp)
utcp_udp_stack = _plain("utcp_udp_stack", c_void_p, _udp)
utcp_udp_set = _int("utcp_udp_set", _udp, c_int, c_int64)
utcp_udp_get = _int("utcp_udp_get", _udp, c_int, POINTER(c_int64))

mslink_open = _declare(
    "mslink_open",
    c_int,
    _by_err,
    _out,
    c_char_p,
    POINTER(LinkOptions),
    POINTER(_abi.Error),
)
mslink_open_ring = _int("mslink_open_ring", _out, _link, c_uint)
mslink_close = _declare("mslink_close", None, _never, _link)
mslink_stack = _plain("mslink_stack", c_void_p, _link)
mslink_port = _plain("mslink_port", c_void_p, _link)
mslink_now_ns = _plain("mslink_now_ns", c_uint64)
mslink_addr = _int("mslink_addr", _addr, c_char_p, c_uint16)
mslink_poll = _int("mslink_poll", _link)
mslink_flush = _int("mslink_flush", _link)
mslink_wait = _declare("mslink_wait", c_int, _by_code, _link, c_int)
mslink_fd = _int("mslink_fd", _link)
mslink_arm = _int("mslink_arm", _link)
mslink_timeout_ns = _plain("mslink_timeout_ns", c_uint64, _link)
mslink_near = _int("mslink_near", _link)
mslink_spin = _plain("mslink_spin", None, _link, c_uint32)
mslink_reopen = _declare("mslink_reopen", c_int, _by_code, _link)
mslink_linger = _declare("mslink_linger", c_int, _never, _link, c_uint32)
mslink_connect = _int("mslink_connect", _link, _sock, _addr)
mslink_udp_connect = _int("mslink_udp_connect", _link, _udp, _addr)
mslink_peer = _plain("mslink_peer", None, _addr, _addr)
mslink_counters = _plain("mslink_counters", c_uint, _link, _counts, c_uint)
mslink_counter_name = _plain("mslink_counter_name", c_char_p, c_uint)
mslink_counter_text = _plain("mslink_counter_text", c_char_p, c_uint)

msbatch_create = _int("msbatch_create", _out, _link, c_uint32, c_uint32)
msbatch_destroy = _void("msbatch_destroy", c_void_p)
msbatch_view = _plain("msbatch_view", POINTER(BatchView), c_void_p)
msbatch_add = _int("msbatch_add", c_void_p, _sock, c_uint32)
msbatch_add_udp = _int("msbatch_add_udp", c_void_p, _udp, c_uint32)
msbatch_close = _int("msbatch_close", c_void_p, c_uint32)
msbatch_sock = _plain("msbatch_sock", c_void_p, c_void_p, c_uint32)
msbatch_udp = _plain("msbatch_udp", c_void_p, c_void_p, c_uint32)
msbatch_reopen = _declare("msbatch_reopen", c_int, _by_code, c_void_p)
msbatch_keep = _plain("msbatch_keep", c_int, c_void_p)
# Once a turn of the loop; what it returns is for the caller to look at.
msbatch_turn = _plain(
    "msbatch_turn",
    c_int,
    c_void_p,
    c_char_p,
    c_uint,
    c_char_p,
    c_size_t,
    c_uint32,
)


def address_of(buffer: Any) -> int:
    """Where a ctypes object lies."""
    return addressof(buffer)


def cc_names(stack: int) -> list[str]:
    """The congestion controls that a stack has."""
    names: list[str] = []
    while name := utcp_cc_name(stack, len(names)):
        names.append(name.decode())
    return names
