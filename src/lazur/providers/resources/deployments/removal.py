"""Mode Complete: what the group holds beside the template goes, once everything in the template stands.

What goes is chosen once and written down before anything is deleted, so that nothing made meanwhile is touched. Each
deletion is a request of the recorded caller: its rights, locks and uses are checked like everybody's.
"""

from __future__ import annotations

from lazur.kernel.errors import LazurError
from lazur.model.documents import SUCCEEDED, Record
from lazur.providers.resources.deployments.run import ACCEPTED, DELETE, RUNNING, Run, Step

_SPARES_CONDITIONS = "2019-05-10"
"""Before this api-version a resource whose condition is false was left alone."""


async def advance(run: Run) -> None:
    """Choose what goes, or delete what nothing else that goes needs any more."""
    if run.record.properties.get("mode") != "Complete" or not _stands(run):
        return
    if not run.record.status.get("removing"):
        for id in _surplus(run):
            run.step(id, DELETE).state = ACCEPTED
            run.chose = True
        return
    while free := _free(run):
        for step in free:
            await _delete(run, step)
        run.look()
        if all(s.held for s in free):
            return


def _stands(run: Run) -> bool:
    """Whether every resource of the template is there."""
    steps = (run.steps.get(n.id.lower()) for n in run.nodes)
    return all(s is not None and s.state == SUCCEEDED for s in steps)


def _surplus(run: Run) -> list[str]:
    """Ids of the group's resources that the template does not name."""
    context, kept = run.context, {_holder(run, n.id) for n in run.expansion.nodes}
    if run.record.api_version < _SPARES_CONDITIONS:
        kept |= {_holder(run, n.id) for n in run.expansion.skipped}
    found = []
    for record in context.store.list(prefix=run.record.id.scope.key + "/"):
        # What has no location lives by what it belongs to: deployments, and extensions such as locks and assignments.
        if record.key in kept or not context.registry.type_of(record.id).tracked or record.deleting:
            continue
        found.append(record)
    goes = {r.key for r in found}
    return [str(r.id) for r in found if not _managed(run, r, goes)]


def _holder(run: Run, id: str) -> str:
    """The key of the document that holds `id`."""
    return run.context.registry.document_of(run.id(id)).key


def _managed(run: Run, record: Record, goes: set[str]) -> bool:
    """Whether something that stays made it for itself and keeps it: a machine's disk."""
    try:
        owner = str(run.context.front.show(run.caller, record.id).get("managedBy") or "").lower()
    except LazurError:
        return False
    return bool(owner) and owner not in goes


def _free(run: Run) -> list[Step]:
    """Steps to submit now: whose users, as far as they go too, are gone."""
    waiting = [s for s in run.steps.values() if s.verb == DELETE and s.state == ACCEPTED]
    held = [s for s in run.steps.values() if s.verb == DELETE and s.held and s.state == RUNNING]
    going = {k for k, s in run.steps.items() if s.verb == DELETE and s.state in (ACCEPTED, RUNNING)}
    free = [s for s in waiting if not _users(run, s) & going]
    stuck = waiting and not free and not any(s.ongoing for s in run.steps.values())
    return held + (waiting if stuck else free)


def _users(run: Run, step: Step) -> set[str]:
    key = run.id(step.id).key
    return {r.source for r in run.context.store.referrers(key) if r.blocking and r.source != key}


async def _delete(run: Run, step: Step) -> None:
    try:
        record = await run.context.front.remove(run.caller, run.id(step.id))
    except LazurError as error:
        step.state = RUNNING
        run.refused(step, error)
        return
    step.state, step.held, step.error, step.code = RUNNING, "", None, 0
    if record is None:
        run.finish(step)
    else:
        step.generation, step.uid = record.generation, record.uid
