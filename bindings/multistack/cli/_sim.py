# SPDX-License-Identifier: BSD-2-Clause
"""multistack sim: congestion controls over a link that is described in words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from multistack._cc import CongestionControl
from multistack._units import nanoseconds, rate, seconds, share, size
from multistack.cli._controls import load
from multistack.cli._switch import Failure, console, errors
from multistack.sim import Dumbbell, Flow, Network

# Generic for type checkers, and since click 8.3 also at run time.
if TYPE_CHECKING:
    _Type = click.ParamType[str]
else:
    _Type = click.ParamType
_BARS = " ▁▂▃▄▅▆▇█"
_SPARK = 32


class _Word(_Type):
    """What the simulator parses; refused here, so that the option is named."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            self._parse(value)
        except ValueError as e:
            self.fail(str(e), param, ctx)
        return str(value)


@dataclass(frozen=True)
class Result:
    """A flow in numbers: seconds, bits a second, bytes, segments."""

    cc: str
    goodput: float
    share: float
    rtt: float
    rtt_p95: float
    queue_delay: float
    retransmits: int
    resent: float
    drops: int
    marks: int
    finished: float | None
    fell_back: bool


def spark(values: list[float], top: float) -> str:
    """Values as a line of bars."""
    if not values or top <= 0:
        return ""
    step = max(len(values) / _SPARK, 1)
    cells = [
        values[int(i * step) : max(int((i + 1) * step), int(i * step) + 1)]
        for i in range(min(_SPARK, len(values)))
    ]
    return "".join(
        _BARS[min(round(max(c) / top * (len(_BARS) - 1)), len(_BARS) - 1)]
        for c in cells
    )


def _result(
    world: Dumbbell, flow: Flow, control: str | type[CongestionControl]
) -> Result:
    s = flow.summary()
    stats = world.bottleneck.stats
    return Result(
        cc=flow.name,
        goodput=s.goodput,
        share=s.goodput / rate(str(world.bottleneck.way.rate)),
        rtt=s.rtt,
        rtt_p95=s.rtt_p95,
        queue_delay=s.queue_delay,
        retransmits=s.retransmits,
        resent=flow.info.bytes_retrans / max(s.sent, 1),
        drops=stats.overflows + stats.drops,
        marks=stats.marks,
        finished=s.finished,
        fell_back=isinstance(control, type) and s.cc != control.name,
    )


def _table(flows: list[Flow], results: list[Result], title: str) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("Mbit/s", "of link", "rtt ms", "p95", "queue ms", "resent"):
        table.add_column(name, justify="right")
    table.add_column("window over time", no_wrap=True)
    best = max(results, key=lambda r: r.goodput)
    top = max((max(f.cwnd, default=0.0) for f in flows), default=0.0)
    for flow, r in zip(flows, results, strict=True):
        name = escape(r.cc) + (" (fell back to cubic)" if r.fell_back else "")
        table.add_row(
            f"[bold]{name}[/]" if r is best else name,
            f"{r.goodput / 1e6:.2f}",
            f"{r.share:.0%}",
            f"{r.rtt * 1e3:.1f}",
            f"{r.rtt_p95 * 1e3:.1f}",
            f"{r.queue_delay * 1e3:.1f}",
            f"{r.resent:.2%}",
            f"[cyan]{spark(list(flow.cwnd), top)}[/]",
        )
    return table


def fairness(goodputs: list[float]) -> float:
    """Jain's index: 1: all alike."""
    squares = sum(g * g for g in goodputs)
    return sum(goodputs) ** 2 / (len(goodputs) * squares) if squares else 0.0


@click.command()
@click.option(
    "--cc",
    "ccs",
    default="cubic,newreno,bbr",
    show_default=True,
    metavar="NAME,...",
    help="Congestion controls: of the stack, or of Python, as FILE.py:Class.",
)
@click.option(
    "--rate",
    default="10Mbit",
    show_default=True,
    type=_Word("rate", rate),
    help="Of the link, bits a second.",
)
@click.option(
    "--delay",
    default="20ms",
    show_default=True,
    type=_Word("time", seconds),
    help="One way; the round trip takes two of these.",
)
@click.option(
    "--buffer",
    default="1bdp",
    show_default=True,
    type=_Word("size", size),
    help="Of the link's queue: bytes, or rate times round trip.",
)
@click.option(
    "--jitter",
    default="0",
    type=_Word("time", nanoseconds),
    help="More delay, evenly from 0 to this; order is kept.",
)
@click.option("--loss", default="0", type=_Word("share", share), help="Such as 0.1%.")
@click.option(
    "--aqm",
    default="droptail",
    show_default=True,
    type=click.Choice(["droptail", "step", "codel", "pie"]),
    help="How the queue is managed.",
)
@click.option("--ecn", is_flag=True, help="Connections use ECN.")
@click.option(
    "--seconds",
    "duration",
    default="30",
    show_default=True,
    type=_Word("time", seconds),
    help="Of virtual time.",
)
@click.option("--together", is_flag=True, help="All at once, over the same link.")
@click.option("--seed", default=1, show_default=True, help="Of all that is random.")
@click.option(
    "--plot", type=click.Path(dir_okay=False), help="Draw them here (PNG, SVG, PDF)."
)
@click.option(
    "--capture",
    type=click.Path(dir_okay=False),
    help="Write what the link carries here (pcapng); with --together or one --cc.",
)
@click.option("--json", "as_json", is_flag=True, help="Numbers, in SI units.")
def sim(
    ccs: str,
    rate: str,
    delay: str,
    buffer: str,
    jitter: str,
    loss: str,
    aqm: str,
    ecn: bool,
    duration: str,
    together: bool,
    seed: int,
    plot: str | None,
    capture: str | None,
    as_json: bool,
) -> None:
    """Try congestion controls on a simulated link.

    Each has the link for itself, or all share it (--together). The stacks are
    those that run on the wire; time and the link are simulated.

    \b
        multistack sim --cc cubic,bbr --rate 100Mbit --delay 5ms
        multistack sim --cc cubic,mine.py:Mine --loss 0.1% --plot mine.png
    """
    names = [n.strip() for n in ccs.split(",") if n.strip()]
    if not names:
        raise click.UsageError("--cc names nothing")
    if capture is not None and not together and len(names) > 1:
        raise click.UsageError("--capture takes --together, or one --cc")
    # Short, for tables: the class's name, without its file's.
    controls = [(n.rpartition(":")[2], load(n)) for n in names]
    link = {"rate": rate, "delay": delay, "buffer": buffer, "jitter": jitter}
    link |= {"loss": loss, "aqm": aqm}
    worlds: list[Network] = []
    flows: list[Flow] = []
    results: list[Result] = []
    with errors():
        for group in [controls] if together else [[c] for c in controls]:
            net = Network(seed)
            worlds.append(net)
            world = net.dumbbell(len(group), **link)
            if capture is not None:
                world.bottleneck.capture(capture)
            ends = zip(world.left, world.right, group, strict=True)
            mine = [
                net.bulk(a, b, cc=control, name=name, ecn=ecn or None)
                for a, b, (name, control) in ends
            ]
            net.run(seconds(duration))
            flows += mine
            results += [
                _result(world, f, cc) for f, (_, cc) in zip(mine, group, strict=True)
            ]
        if plot is not None:
            _plot(flows, plot)
    if as_json:
        described = {**link, "seconds": seconds(duration), "seed": seed}
        described |= {"ecn": ecn, "together": together}
        click.echo(
            json.dumps({"link": described, "flows": [asdict(r) for r in results]})
        )
    else:
        how = "sharing" if together else "each alone on"
        more = [f"loss {loss}"] if share(loss) else []
        more += [aqm] if aqm != "droptail" else []
        title = f"{how} {rate}, {delay} each way, buffer {buffer}"
        title = ", ".join([title[0].upper() + title[1:], *more, f"{duration} s"])
        console().print(_table(flows, results, title))
        if together and len(results) > 1:
            jain = fairness([r.goodput for r in results])
            click.echo(f"fairness (Jain): {jain:.2f} of 1")
        if plot is not None:
            click.echo(f"drawn: {plot}")
    for net in worlds:
        net.close()


def _plot(flows: list[Flow], path: str) -> None:
    from multistack._simplot import draw

    try:
        draw(flows).savefig(path)
    except ImportError as e:
        raise Failure(str(e)) from e
