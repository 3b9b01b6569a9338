# SPDX-License-Identifier: BSD-2-Clause
"""multistack completion: for the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete these commands.

    \b
    bash: eval "$(multistack completion bash)" in ~/.bashrc
    zsh:  eval "$(multistack completion zsh)" in ~/.zshrc
    fish: multistack completion fish > ~/.config/fish/completions/multistack.fish
    """
    made = get_completion_class(shell)
    assert made
    root = context.find_root().command
    click.echo(made(root, {}, "multistack", "_MULTISTACK_COMPLETE").source())
