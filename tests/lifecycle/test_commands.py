"""Commands are found by their file names, and a failure reaches the person with its whole cause chain."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from lazur.cli.__main__ import main
from lazur.cli.explain import explain
from lazur.kernel.errors import Evidence, LazurError

_CONTEXT = click.Context(main)


def test_the_commands_of_this_folder_are_found() -> None:
    assert {"check", "test"} <= set(main.list_commands(_CONTEXT))


@pytest.mark.parametrize("name", main.list_commands(_CONTEXT))
def test_every_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0 and "Usage:" in shown.output
    command = main.get_command(_CONTEXT, name)
    assert command is not None and command.help


def test_an_unknown_command_is_refused() -> None:
    refused = CliRunner().invoke(main, ["nonsense"])
    assert refused.exit_code == 2 and "nonsense" in refused.output


def test_an_error_is_explained_with_causes_and_evidence() -> None:
    cause = LazurError("PortBusy", "443 is taken", info=[Evidence("LogTail", ["one", "two"])])
    assert explain(LazurError("UpFailed", "the rack did not start", details=[cause])).splitlines() == [
        "UpFailed: the rack did not start",
        "  PortBusy: 443 is taken",
        "    LogTail:",
        "      one",
        "      two",
    ]
