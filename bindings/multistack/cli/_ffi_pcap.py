# SPDX-License-Identifier: BSD-2-Clause
"""libpcap's compiler of filter expressions (pcap-filter(7)), where it is installed."""

from __future__ import annotations

import ctypes.util
from ctypes import (
    CDLL,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_uint,
    c_uint32,
    c_void_p,
)
from typing import Any

_ETHERNET = 1  # DLT_EN10MB
_NO_NETMASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN


class _Program(Structure):
    """struct bpf_program"""

    _fields_ = [("len", c_uint), ("insns", c_void_p)]


class _Header(Structure):
    """struct pcap_pkthdr; what a filter looks at is the lengths."""

    _fields_ = [
        ("tv_sec", ctypes.c_long),
        ("tv_usec", ctypes.c_long),
        ("caplen", c_uint32),
        ("len", c_uint32),
    ]


def _by_result(result: Any, _f: Any, args: tuple[Any, ...]) -> Any:
    if result < 0:
        raise ValueError((_lib().pcap_geterr(args[0]) or b"").decode(errors="replace"))
    return result


_loaded: list[CDLL] = []


def _lib() -> CDLL:
    if _loaded:
        return _loaded[0]
    for name in ("libpcap.so.0.8", "libpcap.so.1", ctypes.util.find_library("pcap")):
        try:
            lib = CDLL(name) if name else None
        except OSError:
            continue
        if lib:
            break
    else:
        raise ValueError(
            "filter expressions need libpcap, which is not installed "
            "(Debian: apt install libpcap0.8)"
        )
    lib.pcap_open_dead.argtypes, lib.pcap_open_dead.restype = [c_int, c_int], c_void_p
    lib.pcap_close.argtypes, lib.pcap_close.restype = [c_void_p], None
    lib.pcap_geterr.argtypes, lib.pcap_geterr.restype = [c_void_p], c_char_p
    lib.pcap_compile.argtypes = [
        *(c_void_p, POINTER(_Program), c_char_p, c_int, c_uint32)
    ]
    lib.pcap_compile.restype = c_int
    lib.pcap_compile.errcheck = _by_result
    lib.pcap_freecode.argtypes, lib.pcap_freecode.restype = [POINTER(_Program)], None
    lib.pcap_offline_filter.argtypes = [POINTER(_Program), POINTER(_Header), c_char_p]
    lib.pcap_offline_filter.restype = c_int
    _loaded.append(lib)
    return lib


class Filter:
    """A compiled expression, of Ethernet frames. ValueError: libpcap's words."""

    def __init__(self, expression: str, snap_bytes: int) -> None:
        self._program = _Program()
        self._lib = lib = _lib()
        dead = lib.pcap_open_dead(_ETHERNET, snap_bytes)
        if not dead:
            raise MemoryError
        try:
            lib.pcap_compile(
                dead, byref(self._program), expression.encode(), 1, _NO_NETMASK
            )
        finally:
            lib.pcap_close(dead)

    def __call__(self, frame: bytes, wire_bytes: int) -> bool:
        head = _Header(0, 0, len(frame), wire_bytes)
        return bool(
            self._lib.pcap_offline_filter(byref(self._program), byref(head), frame)
        )

    def close(self) -> None:
        self._lib.pcap_freecode(byref(self._program))
