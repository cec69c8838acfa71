"""How many deployments a scope remembers. Taking one out of the history never touches what it deployed."""

from __future__ import annotations

from lazur.control.context import Context
from lazur.kernel.errors import LazurError
from lazur.kernel.log import logger
from lazur.model.armid import ArmId
from lazur.model.documents import TERMINAL, Record
from lazur.model.rights import Caller
from lazur.providers.resources.deployments.admit import history_pool

log = logger("deployments")

MANY, FEWER = 700, 600
"""With more than `MANY` in a scope's history the oldest go until `FEWER` are left, as Azure does it; at 800 it refuses."""


def deployments_at(context: Context, id: ArmId) -> list[Record]:
    """The deployments of the scope `id` lies in."""
    found = context.store.list(prefix=id.key.rpartition("/")[0] + "/", type=id.type)
    return [r for r in found if not r.deleting]


async def prune(context: Context, record: Record, caller: Caller) -> None:
    """Let the oldest go when there are many: asked in the name of whoever deploys, and left for the next time if refused."""
    if len(context.store.claims(history_pool(record.id))) <= MANY:
        return
    found = sorted(deployments_at(context, record.id), key=lambda r: (r.changed, r.key))
    ended = [r for r in found if r.state in TERMINAL and r.key != record.key]
    for old in ended[: len(found) - FEWER]:
        try:
            await context.front.remove(caller, old.id)
        except LazurError as error:
            log.warning("history not shortened", scope=str(record.id.parent), code=error.code)
            return
