"""The documents say what is there: links and paths exist, commands and options are the real ones, the table is current."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lazur.cli.__main__ import main
from lazur.lifecycle.coverage import Operations, conformance, inserted, openapi_documents, what_works
from lazur.lifecycle.project import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/*.md"), *ROOT.glob("decisions/*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*/?")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_COMMAND = re.compile(r"\./lazur (?!\[)([a-z][a-z-]*)((?: +[^`\n|#;)]+)?)")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_ENDINGS = (".py", ".sql", ".json", ".yaml", ".md", ".lock", ".in", "/")


def _ids(paths: list[Path]) -> list[str]:
    return [str(p.relative_to(ROOT)) for p in paths]


def _anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in _HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text())):
            dead.append(link)
    assert not dead


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """Every path in backticks with the name that may follow it as `path:name`."""
    for code in _CODE.findall(text):
        path, _, name = code.partition(":")
        if _PATH.fullmatch(path) and "/" in path and path.endswith(_ENDINGS):
            yield path, name


def test_paths_of_the_architecture_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = list(_paths(text))
    assert len(named) > 40, "the pattern for paths no longer finds them"
    wrong = []
    for path, name in named:
        found = [p for p in (ROOT / path, ROOT / "src" / "lazur" / path) if p.exists()]
        if not found:
            wrong.append(path)
        elif name and not re.search(rf"^\s*(async def|def|class) {re.escape(name)}\b", found[0].read_text(), re.MULTILINE):
            wrong.append(f"{path}:{name}")
    assert not wrong


def test_layers_of_the_architecture_are_the_checked_ones() -> None:
    contract = (ROOT / ".importlinter").read_text().partition("layers =\n")[2].partition("\n\n")[0]
    checked = [sorted(re.findall(r"lazur\.(\w+)", line)) for line in contract.splitlines()]
    block = (ROOT / "ARCHITECTURE.md").read_text().partition("<!-- layers -->\n```\n")[2].partition("\n```")[0]
    drawn = [sorted(re.findall(r"\b[a-z]+\b", line.partition("  ")[0])) for line in block.splitlines()]
    present = [[part for part in line if (ROOT / "src" / "lazur" / part).exists() or part == "roles"] for line in checked]
    assert drawn == present


def _commands() -> dict[str, click.Command]:
    context = click.Context(main)
    return {name: found for name in main.list_commands(context) if (found := main.get_command(context, name))}


def _options(command: click.Command) -> set[str]:
    found = {o for p in command.params if isinstance(p, click.Option) for o in p.opts if o.startswith("--")}
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            found |= _options(inner)
    return found


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    documented = {name for name, _ in _COMMAND.findall(page)}
    assert documented == _commands().keys()
    missing = {f"{name} {o}" for name, c in _commands().items() for o in _options(c) if o not in page}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_commands_in_documents_exist(page: Path) -> None:
    known = _commands()
    wrong = []
    for name, rest in _COMMAND.findall(page.read_text()):
        if name not in known:
            wrong.append(name)
        else:
            own = rest.partition(" -- ")[0]
            wrong += [f"{name} --{o}" for o in _OPTION.findall(own) if f"--{o}" not in {*_options(known[name]), "--help"}]
    assert not wrong


def test_the_table_of_what_works_is_up_to_date() -> None:
    text = (ROOT / "README.md").read_text()
    assert inserted(text, what_works()) == text, "run ./lazur docs"


def test_the_conformance_page_is_up_to_date() -> None:
    results = json.loads((ROOT / "tests" / "clients" / "results.json").read_text())
    page = (ROOT / "docs" / "conformance.md").read_text()
    assert page == conformance(results), "run ./lazur docs"
    known = Operations(openapi_documents()).names
    assert results["operations"].keys() <= set(known) and len(set(known)) == len(known)
    assert not [name for name in known if f"\n| {name.partition('/')[2]} | " not in page], "an operation without a row"


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(_LINK.findall((ROOT / "README.md").read_text()))
    for page in ROOT.glob("docs/*.md"):
        assert f"docs/{page.name}" in linked, page.name
    index = set(_LINK.findall((ROOT / "decisions" / "README.md").read_text()))
    assert {p.name for p in ROOT.glob("decisions/[0-9]*.md")} <= index
