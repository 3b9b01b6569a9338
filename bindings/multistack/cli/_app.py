# SPDX-License-Identifier: BSD-2-Clause
"""The command as a whole."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from multistack.cli import _attach, _doctor, _status


def _version() -> str:
    try:
        return version("multistack")
    except PackageNotFoundError:
        return "of a checkout"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88}
)
@click.version_option(_version(), prog_name="multistack")
def main() -> None:
    """Network stacks of your own, beside the host's, on its addresses."""


main.add_command(_attach.attach)
main.add_command(_attach.detach)
main.add_command(_status.status)
main.add_command(_doctor.doctor)
