"""The ARM template language: from the bytes of a deployment request to resources to PUT, in order.

Pure: no input or output, no clock but the injected `utcnow`, no randomness but the injected `ids`. Everything a
template may ask about the world comes through `Context` (known before) or a `Lookup` (asked while deploying). Bad input
raises `LazurError` and nothing else; time, steps, depth and memory are bounded.

    body = read_body(raw)                                    # az sends no JSON: comments, bare keys, multi-line strings
    locate = Locator(raw, "properties.template")             # optional: real line and column in the errors
    template = parse_template(body["properties"]["template"], locate=locate)
    context = Context(
        deployment_name="d1",
        scope=DeploymentScope("resourceGroup", subscription={...}, resource_group={...}),
        tenant={"tenantId": ...}, environment={...}, utcnow=clock.now(), ids=ids,
    )
    expansion = expand(template, body["properties"].get("parameters") or {}, context)
    for node in expansion.nodes:                             # already in an order that respects depends_on
        node.id, node.type, node.api_version, node.depends_on, node.existing

    facts = Facts()                                          # a Lookup filled on demand, for callers that must await
    while True:
        try:
            resource = evaluate_body(node, expansion.scope, facts)   # what to PUT at node.id
            break
        except LookupNeeded as need:                         # no error: an answer is missing
            facts.put(need.question, await answer(need.question))

    outputs(template, expansion.scope, facts)                # {"ip": {"type": "String", "value": "203.0.113.9"}}
    parameters_echo(template, expansion.scope)               # the same form; secure values are left out
    nested = nested_deployment(node, resource)               # when node.is_deployment: with a Context for
    nested.template, nested.parameters, nested.scope_id      # nested.scope_id, parse_template and expand again

`expansion.parameters` holds every parameter value after defaults: keep it with the deployment (sealed: it may hold
secrets) and pass it again as `{"name": {"value": ...}}` when the deployment resumes, so that `utcNow()` and `newGuid()`
in defaults keep their first value.
"""

from lazur.providers.resources.template.body import NestedDeployment, evaluate_body, nested_deployment, outputs
from lazur.providers.resources.template.deep import Notice, Step, Steps, World, steps
from lazur.providers.resources.template.evaluate import evaluate
from lazur.providers.resources.template.expand import Expansion, expand
from lazur.providers.resources.template.faults import MAX_RUN_STEPS, Locate, nowhere
from lazur.providers.resources.template.nodes import Copy, Node
from lazur.providers.resources.template.parameters import bind, parameters_echo
from lazur.providers.resources.template.reader import Locator, read_body
from lazur.providers.resources.template.schema import Template, parse_template
from lazur.providers.resources.template.scope import (
    Context,
    DeploymentScope,
    Facts,
    Lookup,
    LookupNeeded,
    Providers,
    Question,
    Scope,
    Unanswerable,
)
from lazur.providers.resources.template.target import Target, check_location, target
from lazur.providers.resources.template.values import Budget, TakesLong

__all__ = [
    "MAX_RUN_STEPS",
    "Budget",
    "Context",
    "Copy",
    "DeploymentScope",
    "Expansion",
    "Facts",
    "Locate",
    "Locator",
    "Lookup",
    "LookupNeeded",
    "NestedDeployment",
    "Node",
    "Notice",
    "Providers",
    "Question",
    "Scope",
    "Step",
    "Steps",
    "TakesLong",
    "Target",
    "Template",
    "Unanswerable",
    "World",
    "bind",
    "check_location",
    "evaluate",
    "evaluate_body",
    "expand",
    "nested_deployment",
    "nowhere",
    "outputs",
    "parameters_echo",
    "parse_template",
    "read_body",
    "steps",
    "target",
]
