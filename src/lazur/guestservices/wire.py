"""The wire server at 168.63.129.16:80 and the HostGAPlugin at its port 32526, as cloud-init and the Linux agent know them.

A guest learns here who it is and says here how it is. Must never answer a guest with anything of another one: the caller
has found the machine by virtual network and source address before it comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from lazur.guestservices.certificates import CertificateStore
from lazur.guestservices.httpd import JSON, TEXT, XML, Request, Response
from lazur.guestservices.ledger import Machine
from lazur.guestservices.outputs import HealthBook
from lazur.guestservices.settings import WIRE_SERVER
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived

INCARNATION = "1"
"""The goal state's number. It changes when a guest's agent has something new to do, which only extensions will bring."""

_PROTOCOL = "2012-11-30"
_PLUGIN_VERSIONS = b'["2015-09-01"]'
_HEAD = '<?xml version="1.0" encoding="utf-8"?>'
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_VERSIONS = (
    f"{_HEAD}<Versions><Preferred><Version>2015-04-05</Version></Preferred><Supported>"
    f"<Version>2015-04-05</Version><Version>{_PROTOCOL}</Version><Version>2012-09-15</Version></Supported></Versions>"
)


class WireServer:
    """Answers of the wire server."""

    def __init__(self, health: HealthBook, certificates: CertificateStore) -> None:
        self._health = health
        self._certificates = certificates

    async def answer(self, machine: Machine, request: Request) -> Response:
        """One request of one guest."""
        if request.method == "POST":
            return self._post(machine, request)
        if request.method != "GET":
            return Response(405)
        component = request.query.get("comp")
        if component == "versions":
            return _xml(_VERSIONS)
        segments = [segment for segment in request.path.split("/") if segment]
        if segments[:1] != ["machine"]:
            return Response(404)
        # An agent that moved with its disk holds another container's address: 410 makes it ask for its goal state anew.
        if len(segments) > 1 and segments[1:] != [container_id(machine), role_instance(machine)]:
            return Response(410)
        if component == "goalstate":
            return _xml(_goal_state(machine))
        if component == "certificates":
            return await self._certificate_file(machine, request)
        document = _CONFIGURATIONS.get(request.query.get("type", "").lower()) if component == "config" else None
        return _xml(document(machine)) if document is not None else Response(404)

    def _post(self, machine: Machine, request: Request) -> Response:
        component = request.query.get("comp")
        if component == "health":
            return self._report(machine, request)
        if component == "telemetrydata":
            return Response(200, content_type=XML)
        if component == "roleProperties":
            return Response(202, content_type=XML)
        if request.path.rstrip("/") == "/HealthService":
            return Response(200, content_type=JSON)
        return Response(404)

    def _report(self, machine: Machine, request: Request) -> Response:
        if request.truncated:
            return Response(413)
        try:
            # Entities could be made to grow without end, and no agent uses a document type.
            if b"<!DOCTYPE" in request.body or b"<!ENTITY" in request.body:
                raise ElementTree.ParseError("document types are not accepted")
            report = ElementTree.fromstring(request.body)
        except (ElementTree.ParseError, ValueError, LookupError):
            return Response(400, b"The health report is not XML.", TEXT)
        state = (report.findtext(".//Health/State") or "").strip()
        if state not in ("Ready", "NotReady"):
            return Response(400, b"The health report has no State of Ready or NotReady.", TEXT)
        words = (report.findtext(f".//Details/{tag}") for tag in ("SubStatus", "Description"))
        message = ": ".join(word.strip() for word in words if word and word.strip())
        incarnation = (report.findtext("GoalStateIncarnation") or INCARNATION).strip()
        self._health.report(machine.uid, state == "Ready", message, incarnation)
        return Response(200, content_type=XML)

    async def _certificate_file(self, machine: Machine, request: Request) -> Response:
        transport = request.headers.get("x-ms-guest-agent-public-x509-cert")
        if transport is None:
            return Response(400, b"The header x-ms-guest-agent-public-x509-cert is missing.", TEXT)
        try:
            data = await self._certificates.sealed(machine.uid, "".join(transport.split()))
        except LazurError as error:
            return Response(error.status, error.message.encode(), TEXT)
        lines = "\n".join(data[at : at + 64] for at in range(0, len(data), 64))
        return _xml(
            f"{_HEAD}<CertificateFile {_XSI}><Version>{_PROTOCOL}</Version><Incarnation>{INCARNATION}</Incarnation>"
            f"<Format>Pkcs7BlobWithPfxContents</Format><Data>{lines}</Data></CertificateFile>"
        )


async def host_plugin(machine: Machine, request: Request) -> Response:
    """One request of one guest to the HostGAPlugin. It takes the agent's status and log; vmSettings are not offered."""
    del machine
    match request.method, request.path.rstrip("/"):
        case "GET", "/versions":
            return Response(200, _PLUGIN_VERSIONS, JSON)
        case "GET", "/health":
            return Response(200, content_type=JSON)
        case "PUT", "/status":
            return Response(413 if request.truncated else 200, content_type=JSON)
        case "PUT", "/vmAgentLog":
            return Response(200, content_type=JSON)
    return Response(404, content_type=JSON)


def container_id(machine: Machine) -> str:
    """The guest's container id, always the same for the same machine."""
    return derived("container", machine.uid)


def role_instance(machine: Machine) -> str:
    """The guest's role instance id, a single path segment."""
    return "_" + "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in machine.name)


def _deployment(machine: Machine) -> str:
    return derived("deployment", machine.uid)


def _goal_state(machine: Machine) -> str:
    base = f"http://{WIRE_SERVER}:80/machine/{container_id(machine)}/{role_instance(machine)}"
    links = "".join(
        f"<{name}>{base}?comp=config&amp;type={kind}&amp;incarnation={INCARNATION}</{name}>"
        for name, kind in (
            ("HostingEnvironmentConfig", "hostingEnvironmentConfig"),
            ("SharedConfig", "sharedConfig"),
            ("ExtensionsConfig", "extensionsConfig"),
            ("FullConfig", "fullConfig"),
        )
    )
    deployment = _deployment(machine)
    # Without ConfigName the Linux agent fails on a header that has no value.
    configuration = (
        f"{links}<Certificates>{base}?comp=certificates&amp;incarnation={INCARNATION}</Certificates>"
        f"<ConfigName>{deployment}.0.{deployment}.0.{role_instance(machine)}.1.xml</ConfigName>"
    )
    return (
        f'{_HEAD}<GoalState {_XSI} xsi:noNamespaceSchemaLocation="goalstate10.xsd"><Version>{_PROTOCOL}</Version>'
        f"<Incarnation>{INCARNATION}</Incarnation><Machine><ExpectedState>Started</ExpectedState>"
        "<StopRolesDeadlineHint>300000</StopRolesDeadlineHint><LBProbePorts><Port>16001</Port></LBProbePorts>"
        f"<ExpectHealthReport>FALSE</ExpectHealthReport></Machine><Container><ContainerId>{container_id(machine)}"
        f"</ContainerId><RoleInstanceList><RoleInstance><InstanceId>{role_instance(machine)}</InstanceId>"
        f"<State>Started</State><Configuration>{configuration}</Configuration></RoleInstance></RoleInstanceList>"
        "</Container></GoalState>"
    )


def _hosting_environment(machine: Machine) -> str:
    deployment = _deployment(machine)
    role = quoteattr(role_instance(machine))
    return (
        f'{_HEAD}<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="{INCARNATION}">'
        f'<Deployment name="{deployment}" guid="{{{deployment}}}" incarnation="0"/>'
        f'<Incarnation number="{INCARNATION}" instance={quoteattr(machine.name)} guid="{{{deployment}}}"/>'
        f'<Role guid="{{{deployment}}}" name={role}/></HostingEnvironmentConfig>'
    )


def _shared(machine: Machine) -> str:
    deployment = _deployment(machine)
    role = quoteattr(role_instance(machine))
    address = next((address for nic in machine.nics for address in nic.addresses), "")
    return (
        f'{_HEAD}<SharedConfig version="1.0.0.0" goalStateIncarnation="{INCARNATION}">'
        f'<Deployment name="{deployment}" guid="{{{deployment}}}" incarnation="0"/>'
        f'<Incarnation number="{INCARNATION}"/><Role name={role}/>'
        f"<Instances><Instance id={role} address={quoteattr(address)}/></Instances></SharedConfig>"
    )


def _extensions(machine: Machine) -> str:
    activity = derived("activity", machine.uid, INCARNATION)
    return (
        f'{_HEAD}<Extensions version="1.0.0.0" goalStateIncarnation="{INCARNATION}">'
        '<GuestAgentExtension xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><GAFamilies/>'
        f"<Location>{escape(str(machine.compute.get('location', '')))}</Location></GuestAgentExtension>"
        f'<Plugins/><PluginSettings/><InVMGoalStateMetaData inSvdSeqNo="{INCARNATION}" '
        f'createdOnTicks="638000000000000000" activityId="{activity}" correlationId="{activity}"/></Extensions>'
    )


_CONFIGURATIONS: dict[str, Callable[[Machine], str]] = {
    "hostingenvironmentconfig": _hosting_environment,
    "sharedconfig": _shared,
    "extensionsconfig": _extensions,
    "fullconfig": _hosting_environment,
}


def _xml(document: str) -> Response:
    return Response(200, document.encode(), XML)
