"""Takes what the suites need of Azure's published facts, for the types that are declared, into `facts/`.

`python -m tests.conformance.extract_facts OPERATIONS TREES`: a table of az's operations (module, src, method, path,
api_version, accepted_status, final_state_via; read out of the az and SDK packages), and a folder of property trees (one JSON
file per provider, `<type>@<version>` -> names with `^` read-only, `!` required, `~` write-only; made from Azure's Bicep
types). Types without a tree belong into `facts/ours.txt`, with the reason. What Azure publishes of a type in an OpenAPI
document alone is written by hand: its tree into `properties.json`, which is kept, its operations into
`operations_published.csv`, where the document is named.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.examples import BY_NAME, REGISTRY
from tests.conformance.levels import levels

FACTS = Path(__file__).parent / "facts"
_GROUPS = "Microsoft.Resources/resourceGroups"
_SUBSCRIPTION, _GROUP = r"/subscriptions/\{\w+\}", r"(/subscriptions/\{\w+\}/resourcegroups/\{\w+\}|/\{scope\})"
_FLAGS = "^!~"


def _bare(name: str) -> tuple[str, str]:
    return name.rstrip(_FLAGS), name[len(name.rstrip(_FLAGS)) :]


def properties(trees: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Per type, the names Azure publishes at every level that we model; `before` for what is in no tree."""
    found = {}
    for name, declared in BY_NAME.items():
        versions = sorted(k.partition("@")[2] for k in trees if k.partition("@")[0].lower() == name.lower())
        stable = [v for v in versions if "-" not in v[10:]] or versions
        if not stable:
            if name in before:
                found[name] = before[name]
            continue
        tree = next(t for k, t in trees.items() if k.lower() == f"{name}@{stable[-1]}".lower())
        known = {path: _at(tree, path) for path, _ in levels(declared.Spec)}
        flags = {p: dict(map(_bare, level)) for p, level in known.items() if level is not None}
        found[name] = {"version": stable[-1], "levels": {p: dict(sorted(level.items())) for p, level in sorted(flags.items())}}
    return found


def _at(tree: Any, path: str) -> Any:
    for step in path.split("."):
        name, listed = step.removesuffix("[]"), step.endswith("[]")
        tree = next((v for k, v in tree.items() if _bare(k)[0] == name), None) if isinstance(tree, dict) else None
        tree = tree[0] if listed and isinstance(tree, list) and tree else tree
    return tree if isinstance(tree, dict) else None


def operations(rows: Iterable[Mapping[str, str]]) -> list[list[str]]:
    """Per operation, the statuses that every module of az accepts, and every way to the final state."""
    statuses: dict[tuple[str, str, str], set[str]] = {}
    finals: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        for name in BY_NAME:
            below = _below(name, row["path"].rstrip("/"))
            if below is None:
                continue
            key, accepted = (name, below, row["method"]), set(row["accepted_status"].split())
            statuses[key] = statuses.get(key, accepted) & accepted
            finals[key] |= {row["final_state_via"].removeprefix("lro(").removesuffix(")")} - {""}
    return [
        [type, method, below, " ".join(sorted(statuses[type, below, method])), " ".join(sorted(finals[type, below, method]))]
        for type, below, method in sorted(statuses)
    ]


def _below(name: str, path: str) -> str | None:
    """The path below the type; `*subscription*` for a list of a subscription's."""
    if name == _GROUPS:
        own = rf"{_SUBSCRIPTION}/resourcegroups(/\{{\w+\}}(?:/(?!providers|resources\b)\w+)?)?"
        found = re.fullmatch(own, path, re.IGNORECASE)
        return None if found is None else _anonymous(found[1]) if found[1] else "*subscription*"
    type, above = re.escape(name), "" if BY_NAME[name].scopes == ("tenant",) else _GROUP
    if re.fullmatch(rf"{_SUBSCRIPTION}/providers/{type}", path, re.IGNORECASE):
        return "*subscription*"
    found = re.fullmatch(rf"{above}/providers/{type}(?P<below>/.*)?", path, re.IGNORECASE)
    below = (found["below"] or "") if found is not None else "/providers/"
    return None if "/providers/" in below else _anonymous(below)


def _anonymous(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def main() -> None:
    """Write both files."""
    table, folder = Path(sys.argv[1]), Path(sys.argv[2])
    namespaces = {namespace.lower() for namespace in REGISTRY.providers}
    trees: dict[str, Any] = {}
    for file in sorted(folder.glob("*.json")):
        if file.stem.lower() in namespaces:
            trees |= json.loads(file.read_text())
    place = FACTS / "properties.json"
    before = json.loads(place.read_text())
    place.write_text(json.dumps(properties(trees, before), indent=0, sort_keys=True) + "\n")
    with table.open() as rows, (FACTS / "operations.csv").open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["type", "method", "below", "statuses", "final_state"])
        writer.writerows(operations(csv.DictReader(rows)))


if __name__ == "__main__":
    main()
