# SPDX-License-Identifier: BSD-2-Clause
"""A simulated network's flows drawn, with matplotlib."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from multistack.sim import Flow

_SMOOTH = 25  # values of goodput in one that is drawn


def _smooth(values: array[float]) -> list[float]:
    sums = [0.0]
    for v in values:
        sums.append(sums[-1] + v)
    return [
        (sums[i] - sums[max(i - _SMOOTH, 0)]) / min(i, _SMOOTH)
        for i in range(1, len(sums))
    ]


def draw(flows: list[Flow]) -> Figure:
    """Goodput, window and round trip over time, a line for each flow."""
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise ImportError(
            "drawing needs matplotlib: pip install 'multistack[plot]'"
        ) from e
    figure = Figure(figsize=(9, 8), layout="constrained")
    goodput, window, rtt = figure.subplots(3, 1, sharex=True)
    for flow in flows:
        time = flow.time
        label = flow.name
        (line,) = goodput.plot(
            time, [v / 1e6 for v in _smooth(flow.goodput)], label=label
        )
        color = line.get_color()
        window.plot(time, [v / 1e3 for v in flow.cwnd], color=color, label=label)
        seen = [(t, r * 1e3) for t, r in zip(time, flow.rtt, strict=True) if r > 0]
        rtt.plot([t for t, _ in seen], [r for _, r in seen], color=color, label=label)
    goodput.set_ylabel("goodput, Mbit/s")
    window.set_ylabel("window, kB")
    rtt.set_ylabel("round trip, ms")
    rtt.set_xlabel("time, s")
    for axes in (goodput, window, rtt):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    if flows:
        goodput.legend(loc="best")
    return figure
