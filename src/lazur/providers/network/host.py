"""The host half of Microsoft.Network: makes the overlay equal to what the domain network/main wants, all of it at once.

Must never delete everything because nothing was read, and never call a desire ready before the hosts have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazur.drivers.network.diff import Delete, Insert, Update, diff
from lazur.drivers.network.interface import Applied, NetworkDriver
from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire, Report, State
from lazur.providers.network.compiler import KINDS, Compiler, compile_network


class NetworkHandler:
    """Handles all desires of a network domain together: compile, compare, one transaction, wait for the hosts, report."""

    def __init__(self, driver: NetworkDriver) -> None:
        self._driver = driver
        self._compiler = Compiler()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of desire this handler takes."""
        return KINDS

    async def reconcile(self, desires: Sequence[Desire]) -> Sequence[Report]:
        """Make the overlay equal to `desires` and report on each.

        No desire at all changes nothing: rows go when the desire that asked for them says so, never because a list came
        up empty. Raises `Unavailable` when the overlay's database cannot be reached.
        """
        if not desires:
            return ()
        compiled = self._compiler.compile(desires, sorted(await self._driver.chassis()))
        applied = await self._driver.apply(compiled.rows)
        # Only once no gateway is theirs any more: one that is decommissioned may still be serving.
        await self._driver.dismiss({d.payload["name"] for d in desires if d.kind == "host" and d.removed})
        return [_report(desire, compiled.faults, applied) for desire in desires]

    async def drift(self, desires: Sequence[Desire]) -> Sequence[str]:
        """What `reconcile` would change, and rows that are nobody's, a line for each; empty when all is as wanted."""
        compiled = compile_network(desires, sorted(await self._driver.chassis()))
        words = {Insert: "missing", Update: "changed", Delete: "unwanted"}
        ops = diff(compiled.rows, await self._driver.actual())
        strangers = sorted(await self._driver.strangers())
        return [f"{words[type(op)]}: {op.row.table} {op.row.key}" for op in ops] + [f"unknown: {row}" for row in strangers]


def _report(desire: Desire, faults: Mapping[tuple[str, str], LazurError], applied: Applied) -> Report:
    def report(state: State, error: LazurError | None = None) -> Report:
        observed = {"behind": sorted(applied.behind)} if applied.behind else {}
        return Report(desire.kind, desire.key, desire.generation, state, error.body() if error else None, observed)

    if desire.removed:
        return report(State.GONE)
    fault = faults.get((desire.kind, desire.key))
    if fault is not None:
        return report(State.PENDING if fault.retryable else State.FAILED, fault)
    return report(State.READY)
