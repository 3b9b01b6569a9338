# SPDX-License-Identifier: BSD-2-Clause
"""lib/include/multistack/sim.h, mirrored and declared, as _utcp.py does utcp.h.

Structs are `mssim_way_t` as `Way`; tests/python/test_sim_abi.py compares them.
"""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum
from typing import Any

from multistack._ffi import _by_code, _declare, _never
from multistack._utcp import Addr, Config, Info

MSSIM_CLOCK_NS = 1000000000
MSSIM_NODES_MAX = 4096

Aqm = IntEnum("Aqm", "DROPTAIL STEP CODEL PIE HOOK", start=0)
Verdict = IntEnum("Verdict", "PASS DROP MARK", start=0)
LinkColumn = IntEnum("LinkColumn", "TIME BACKLOG DELAY RATE DROPS MARKS", start=0)
FlowColumn = IntEnum(
    "FlowColumn",
    "TIME CWND SSTHRESH RTT INFLIGHT GOODPUT RECEIVED RETRANS PACING",
    start=0,
)

READY = CFUNCTYPE(None, c_void_p, c_void_p, c_int)
HOOK = CFUNCTYPE(c_int, c_void_p, c_void_p, c_uint32, c_uint64, c_uint64)


class HostConf(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("mtu", c_uint32),
        ("ready", READY),
        ("arg", c_void_p),
        ("config", POINTER(Config)),
    ]


class Way(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("aqm", c_uint32),
        ("rate_bps", c_uint64),
        ("delay_ns", c_uint64),
        ("jitter_ns", c_uint64),
        ("queue_bytes", c_uint64),
        ("jitter_reorders", c_uint32),
        ("ecn", c_uint32),
        ("target_ns", c_uint64),
        ("interval_ns", c_uint64),
        ("step_bytes", c_uint64),
        ("hook", HOOK),
        ("hook_arg", c_void_p),
        ("loss", c_double),
        ("loss_every", c_uint64),
        ("burst_begin", c_double),
        ("burst_end", c_double),
        ("burst_loss", c_double),
        ("reorder", c_double),
        ("reorder_ns", c_uint64),
        ("dup", c_double),
        ("corrupt", c_double),
        ("mtu", c_uint32),
        ("mtu_silent", c_uint32),
        ("dead_from_ns", c_uint64),
        ("dead_to_ns", c_uint64),
    ]


class WayStats(Structure):
    _fields_ = [
        (name, c_uint64)
        for name in (
            *("pkts", "bytes", "sent", "sent_bytes", "overflows", "drops", "marks"),
            *("losses", "too_big", "corrupted", "reordered", "duplicated", "nomem"),
            *("backlog_max", "backlog_sum"),
        )
    ]


class Opt(Structure):
    _fields_ = [("opt", c_int), ("pad", c_int), ("value", c_int64)]


class FlowConf(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("num_opts", c_uint32),
        ("from_", c_void_p),
        ("to", c_void_p),
        ("cc", c_char_p),
        ("opts", POINTER(Opt)),
        ("start_ns", c_uint64),
        ("stop_ns", c_uint64),
        ("bytes", c_uint64),
        ("family", c_int),
        ("pad", c_int),
    ]


class FlowStats(Structure):
    _fields_ = [
        ("error", c_int),
        ("done", c_int),
        ("opened_ns", c_uint64),
        ("finished_ns", c_uint64),
        ("written", c_uint64),
        ("received", c_uint64),
    ]


_out = POINTER(c_void_p)
_num = POINTER(c_size_t)


def _int(name: str, *argtypes: Any) -> Any:
    return _declare(name, c_int, _by_code, *argtypes)


def _plain(name: str, restype: Any, *argtypes: Any) -> Any:
    return _declare(name, restype, _never, *argtypes)


mssim_create = _int("mssim_create", _out, c_uint64)
mssim_destroy = _plain("mssim_destroy", None, c_void_p)
mssim_now_ns = _plain("mssim_now_ns", c_uint64, c_void_p)
mssim_run = _int("mssim_run", c_void_p, c_uint64)
mssim_stop = _plain("mssim_stop", None, c_void_p)
mssim_sample = _int("mssim_sample", c_void_p, c_uint64)
mssim_host = _int("mssim_host", c_void_p, POINTER(HostConf), _out)
mssim_router = _int("mssim_router", c_void_p, _out)
mssim_stack = _plain("mssim_stack", c_void_p, c_void_p)
mssim_kick = _plain("mssim_kick", None, c_void_p)
mssim_addr = _int("mssim_addr", c_void_p, c_int, POINTER(Addr))
mssim_link = _int(
    "mssim_link", c_void_p, c_void_p, c_void_p, POINTER(Way), POINTER(Way), _out
)
mssim_link_set = _int("mssim_link_set", c_void_p, c_int, POINTER(Way))
mssim_link_stats = _int("mssim_link_stats", c_void_p, c_int, POINTER(WayStats))
mssim_link_capture = _int("mssim_link_capture", c_void_p, c_int, c_char_p)
mssim_link_series = _plain("mssim_link_series", c_void_p, c_void_p, c_int, c_int, _num)
mssim_flow = _int("mssim_flow", c_void_p, POINTER(FlowConf), _out)
mssim_flow_stats = _int("mssim_flow_stats", c_void_p, POINTER(FlowStats))
mssim_flow_sock = _plain("mssim_flow_sock", c_void_p, c_void_p)
mssim_flow_info = _int("mssim_flow_info", c_void_p, POINTER(Info))
mssim_flow_series = _plain("mssim_flow_series", c_void_p, c_void_p, c_int, _num)
