# SPDX-License-Identifier: BSD-2-Clause
"""How fast this machine's time stamp counter ticks.

An emulated processor's counter is the real one's. A guest measures its rate
against an emulated timer; where QEMU had to wait for a processor meanwhile, its
clock runs several times too fast from then on. So it is told.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import time

# rdtsc; shl $32, %rdx; or %rdx, %rax; ret
_CODE = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"
_TRIES = 20
_WAIT_S = 0.05
_CLOSE = 0.001  # two measurements differ by no more than this share


def _mark(read: ctypes._CFunctionType) -> tuple[int, int]:
    """Nanoseconds and ticks at one moment: the quickest of some tries."""
    best = (1 << 62, 0, 0)
    for _ in range(_TRIES):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        ticks = read()
        spent = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - before
        best = min(best, (spent, before + spent // 2, ticks))
    return best[1], best[2]


def _measure(read: ctypes._CFunctionType) -> float:
    """Ticks in a millisecond."""
    ns, ticks = _mark(read)
    time.sleep(_WAIT_S)
    later_ns, later_ticks = _mark(read)
    return (later_ticks - ticks) * 1e6 / (later_ns - ns)


@functools.cache
def khz() -> int:
    """The counter's rate; 0 where there is none to rely on."""
    if platform.machine() != "x86_64":
        return 0
    with mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ) as page:
        page.write(_CODE)
        hold = ctypes.c_char.from_buffer(page)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(hold))
        rates = [_measure(read) for _ in range(2)]
        del hold
    close = abs(rates[0] - rates[1]) < _CLOSE * rates[0]
    return round(rates[1]) if close and rates[1] > 0 else 0


def told() -> str:
    """The words for a guest's command line."""
    rate = khz()
    return f"tsc=reliable tsc_early_khz={rate}" if rate else "clocksource=acpi_pm"
