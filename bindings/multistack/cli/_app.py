# SPDX-License-Identifier: BSD-2-Clause
"""The command as a whole: what there is, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

# Name: the module of this package that has the click command of this name, and the
# first line of its help.
COMMANDS = {
    "attach": ("_attach", "Put the switch on INTERFACE."),
    "bench": ("_bench", "Measure the switch in this process."),
    "capture": ("_capture", "Record frames of INTERFACE, or of one port, as pcapng."),
    "completion": ("_completion", "Print what makes SHELL complete these commands."),
    "detach": ("_attach", "Take the switch off INTERFACE."),
    "doctor": (
        "_doctor",
        "Say what is here, what is missing, and what to do about it.",
    ),
    "metrics": ("_metrics", "Serve the switch's counters to Prometheus."),
    "run": ("_run", "Run PROGRAM, which uses asyncio, on a TCP of its own."),
    "serve": ("_serve", "Serve the folder DIRECTORY over HTTP, on a TCP of its own."),
    "sim": ("_sim", "Try congestion controls on a simulated link."),
    "status": (
        "_status",
        "Show interfaces, ports and what they claim; of INTERFACE, or of all.",
    ),
    "top": ("_top", "Watch ports and connections, busiest first."),
}


class _Lazy(click.Group):
    """Imports a command's module when the command is run or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"multistack.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(n, COMMANDS[n][1]) for n in self.list_commands(ctx)])


def _version(context: click.Context, _param: click.Parameter, given: bool) -> None:
    if not given or context.resilient_parsing:
        return
    from multistack._version import __version__

    click.echo(f"multistack, version {__version__}")
    context.exit()


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.option(
    *("--version", "-V"),
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Network stacks of your own, beside the host's, on its addresses."""
