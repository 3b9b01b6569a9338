# SPDX-License-Identifier: BSD-2-Clause
"""Rates, times, sizes and shares as people write them: "10Mbit", "20ms", "1bdp"."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z/%µ]*)\s*")
_BITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_RATES = {f"{p}{u}": f for p, f in _BITS.items() for u in ("bit", "bit/s", "bps")}
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SECONDS |= {"min": 60.0, "h": 3600.0}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
_BYTES |= {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}


def _parse(text: str, units: dict[str, float], what: str, example: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise ValueError(f"{text!r} is no {what}; try {example!r}")
    return float(match[1]) * units[match[2].lower()]


def rate(value: str | float) -> int:
    """Bits a second, of a number or "10Mbit", "1.5Gbit/s", "64kbps"."""
    if isinstance(value, str):
        value = _parse(value, _RATES, "rate", "10Mbit")
    if not 0 <= value < 1e15:
        raise ValueError(f"a rate of {value} bits a second")
    return round(value)


def seconds(value: str | float) -> float:
    """Seconds, of a number or "20ms", "1.5s", "100us"."""
    if isinstance(value, str):
        value = _parse(value, _SECONDS, "time", "20ms")
    if not 0 <= value < 1e9:
        raise ValueError(f"a time of {value} seconds")
    return float(value)


def nanoseconds(value: str | float) -> int:
    return round(seconds(value) * 1e9)


def size(value: str | float, bdp: float = 0) -> int:
    """Bytes, of a number, "64KiB", "1MB", or "1.5bdp": so many of bdp bytes."""
    if isinstance(value, str):
        value = _parse(value, _BYTES | {"bdp": bdp}, "size", "64KiB")
    if not 0 <= value < 1e15:
        raise ValueError(f"a size of {value} bytes")
    return round(value)


def share(value: str | float) -> float:
    """From 0 to 1, of a number or "0.1%"."""
    if isinstance(value, str):
        value = _parse(value, {"": 1.0, "%": 0.01}, "share", "0.1%")
    if not 0 <= value <= 1:
        raise ValueError(f"a share of {value}: from 0 to 1, or 0% to 100%")
    return float(value)
