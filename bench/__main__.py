"""`python -m bench`: run benchmarks by name, print their figures, keep them as JSON."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import uvloop

from bench.machine import environment, pin, state
from bench.pairing import Effort, Figure, Skipped, Wrong
from lazur.kernel.errors import LazurError

NAMES = ("get", "list", "put", "rights", "throttle", "fair", "template", "placement", "port", "vm", "memory")
RESULTS = Path(__file__).parent / "results"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--pairs", default=10, type=click.IntRange(min=2), show_default=True, help="Pairs per comparison.")
@click.option("--seconds", default=5.0, type=click.FloatRange(min=0.1), show_default=True, help="Length of a block.")
@click.option("--stall", default=1.0, show_default=True, help="Drop pairs that waited for CPU for more than this share.")
def main(names: tuple[str, ...], pairs: int, seconds: float, stall: float) -> None:
    """Measure NAMES, all without any, each against a floor of the same run."""
    effort = Effort(pairs, seconds, stall)
    pin(0, 1)
    missed = False
    for name in names or NAMES:
        click.echo(f"bench {name}: {(importlib.import_module(f'bench.{name}').__doc__ or '').splitlines()[0]}")
        result = _measured(name, effort)
        for line in result.pop("shown"):
            click.echo(f"  {line}")
        missed |= any(figure["verdict"] == "missed" for figure in result.get("figures", ()))
        if "skipped" in result:
            continue
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}-{result['at'].replace(':', '')}.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        click.echo(f"  kept in {path.relative_to(RESULTS.parents[1])}")
    raise SystemExit(1 if missed else 0)


def _measured(name: str, effort: Effort) -> dict[str, Any]:
    """The result of one benchmark with everything it depends on; `shown` are the lines for a person."""
    result: dict[str, Any] = {
        "bench": name, "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "pairs": effort.pairs,
        "seconds": effort.seconds, "environment": environment(), "before": state(), "shown": [],
    }  # fmt: skip
    try:
        figures, rows = uvloop.run(importlib.import_module(f"bench.{name}").run(effort, click.echo))
    except (Wrong, LazurError) as error:
        result |= {"void": str(error), "shown": [f"VOID: {error}"]}
    except Skipped as reason:
        result |= {"skipped": str(reason), "shown": [f"SKIPPED: {reason}"]}
    else:
        found: list[Figure] = figures
        result |= {"figures": [f.body() for f in found], "blocks": rows, "shown": [str(f) for f in found]}
    return {**result, "after": state()}


if __name__ == "__main__":
    main(prog_name="lazur bench")
