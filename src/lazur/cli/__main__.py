"""`python -m lazur.cli`: the commands of `lazur.cli.commands`, and the one place where their errors become words."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

import lazur.cli.commands
from lazur.cli.explain import explain
from lazur.kernel.errors import LazurError


class Commands(click.Group):
    """A group that finds its commands by file name and imports one only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands: file names with `-` for `_`."""
        found = pkgutil.iter_modules(lazur.cli.commands.__path__)
        return sorted(module.name.replace("_", "-") for module in found if not module.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `cmd_name`, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"lazur.cli.commands.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command), f"{module.__name__}.command is not a click command"
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Lazur: an Azure-consistent cloud on your own Linux servers."""


def run() -> None:
    """Run the command line of this process; a `LazurError` ends it with 1 and an explanation on standard error."""
    try:
        main(prog_name="lazur")
    except LazurError as error:
        click.echo(explain(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
