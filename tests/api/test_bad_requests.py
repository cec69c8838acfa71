"""Requests that are wrong before any resource is looked at: paths, versions, bodies, methods, conditions, templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.api.front import Door, at_the_door
from tests.api.world import DEPLOYMENTS, deployment, net, public_body, small_cloud

SUB, RG = "{sub}", "{rg}"
NOWHERE = "/subscriptions/s/resourceGroups/none/providers/Microsoft.Network"
IP = f"{RG}/providers/Microsoft.Network/publicIPAddresses"
TEMPLATE = "properties.template"


@dataclass(frozen=True)
class Bad:
    """One request and its answer."""

    method: str
    path: str
    status: int
    code: str
    target: str = ""
    version: str | None = "2024-11-01"
    query: str = ""
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def _put(raw: bytes, code: str = "InvalidRequestContent", status: int = 400) -> Bad:
    return Bad("PUT", f"{IP}/new", status, code, raw=raw)


DEEP = b'{"location":"local","properties":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}"
BAD = [
    Bad("GET", f"{IP}/free", 400, "MissingApiVersionParameter", version=None),
    *(Bad("GET", f"{IP}/free", 400, "InvalidApiVersionParameter", version=v)
      for v in ("latest", "2024-13-01", "2024-11-01%0A", "2024-11-01%0d%0aX-A:b", "%EF%BC%92024-11-01",
                "2024-11-01-" + "x" * 99)),
    Bad("GET", f"{IP}/free", 400, "MissingApiVersionParameter", version=""),
    Bad("GET", f"{RG}/providers/Microsoft.None/things/x", 404, "InvalidResourceNamespace"),
    Bad("GET", f"{RG}/providers/Microsoft.Network/things/x", 404, "InvalidResourceType"),
    Bad("GET", f"{RG}/providers/Microsoft.Network/things", 404, "InvalidResourceType"),
    Bad("POST", f"{IP}/free/start", 404, "InvalidResourceType"),
    Bad("GET", f"{SUB}/providers/Microsoft.None", 404, "InvalidResourceNamespace"),
    Bad("GET", "/nothing/here", 404, "InvalidResourceNamespace"),
    Bad("GET", f"{SUB}/nothing", 404, "InvalidResourceNamespace"),
    Bad("GET", f"{IP}/none", 404, "ResourceNotFound"),
    Bad("GET", f"{SUB}/resourceGroups/none", 404, "ResourceGroupNotFound"),
    Bad("GET", f"{SUB}/resourceGroups/none/providers/Microsoft.Compute/disks", 404, "ResourceGroupNotFound"),
    Bad("DELETE", f"{SUB}/resourceGroups/none", 404, "ResourceGroupNotFound"),
    *(Bad(m, f"{scope}/providers/Microsoft.Resources/deployments/none{part}", 404, "DeploymentNotFound")
      for scope in (RG, SUB)
      for m, part in (("GET", ""), ("GET", "/operations"), ("POST", "/cancel"), ("POST", "/exportTemplate"))),
    Bad("GET", f"{RG}/providers/Microsoft.Resources/deployments/none/operations/1", 404, "DeploymentNotFound"),
    Bad("GET", f"{SUB}/providers/Microsoft.Authorization/roleAssignments/none", 404, "RoleAssignmentNotFound"),
    Bad("GET", f"{SUB}/providers/Microsoft.Authorization/roleDefinitions/none", 404, "RoleDefinitionDoesNotExist"),
    # Signed links that nobody signed.
    *(Bad("GET", "/artifacts/a/serial.log", 403, "AuthenticationFailed", query=q)
      for q in ("", "st=1&se=99999999999&sig=%C3%A9", "st=%C2%B2&se=1&sig=a", "st=1&se=" + "9" * 5000 + "&sig=a")),
    # Ids that are none, however they are written.
    *(Bad(m, f"{IP}/{n}", 400, "InvalidResourceId") for m in ("GET", "PUT", "DELETE")
      for n in ("..", "%2e%2e", ".", "%252e%252e", "a%00b", "a%0ab", "a%3fb", "a%23b", "a%5cb", "x" * 261)),
    Bad("GET", f"{RG}/../../x", 400, "InvalidResourceId"),
    Bad("PUT", f"{RG}/providers/{DEPLOYMENTS}/%2e%2e", 400, "InvalidResourceId"),
    Bad("PUT", f"{SUB}/resourceGroups/%2e%2e", 400, "InvalidResourceId"),
    Bad("GET", f"{IP}/..%2f..%2fx", 400, "InvalidResourceId"),
    # Bodies.
    _put(b"{"), _put(b"not json"), _put(b"[]"), _put(b'"text"'), _put(b"1"), _put(b"null"), _put(b"\xff\xfe"), _put(DEEP),
    _put(b'{"location":"local","properties":{"x":NaN}}'), _put(b'{"location":"local","properties":{"x":1e999}}'),
    _put(b'{"location":"local","properties":{"x":"\\ud800"}}'), _put(b'{"location":"local","properties":{"\\udfff":1}}'),
    _put(b'{"location":"local","properties":{"x":' + b"9" * 5000 + b"}}"),
    _put(b" " * (4 * 1024 * 1024 + 1), "RequestContentTooLarge", 413),
    Bad("PUT", f"{IP}/new", 400, "LocationRequired", "location", raw=b""),
    Bad("PUT", f"{IP}/new", 400, "InvalidParameter", "properties", raw=b'{"location":"local","properties":[]}'),
    # Methods.
    *(Bad(m, f"{IP}/free", 405, "MethodNotAllowed") for m in ("POST2", "OPTIONS", "TRACE2")),
    *(Bad("PUT", p, 405, "MethodNotAllowed") for p in (
        "/subscriptions", "/tenants", SUB, f"{SUB}/locations", f"{SUB}/resources", f"{SUB}/resourcegroups", f"{RG}/resources",
        f"{SUB}/providers", f"{SUB}/providers/Microsoft.Compute", IP, f"{SUB}/providers/Microsoft.Compute/disks",
        f"{SUB}/providers/Microsoft.Compute/locations/local/operations/x")),
    Bad("GET", f"{SUB}/providers/Microsoft.Compute/register", 405, "MethodNotAllowed"),
    # Conditions.
    Bad("PUT", f"{IP}/free", 412, "PreconditionFailed", headers={"if-match": '"other"'}),
    Bad("PUT", f"{IP}/new", 412, "PreconditionFailed", headers={"if-match": "*"}),
    Bad("PUT", f"{IP}/free", 412, "PreconditionFailed", headers={"if-none-match": "*"}),
    Bad("PATCH", f"{IP}/free", 412, "PreconditionFailed", headers={"if-match": '"other"'}),
    Bad("DELETE", f"{IP}/free", 412, "PreconditionFailed", headers={"if-match": '"other"'}),
    Bad("PATCH", f"{IP}/none", 404, "ResourceNotFound"),
    # Questions.
    Bad("GET", IP, 400, "InvalidFilterInQueryString", "$filter", query="$filter=color%20eq%20'x'"),
    Bad("GET", f"{SUB}/resources", 400, "InvalidFilterInQueryString", "$filter", query="$filter=name"),
    *(Bad("GET", IP, 400, "InvalidTop", "$top", query=f"$top={n}") for n in ("0", "-1", "x", "%C2%B2", "9" * 5000)),
    *(Bad("GET", IP, 400, "InvalidSkipToken", "$skiptoken", query=f"$skiptoken={t}") for t in ("x", "LTU%3D", "%C3%A9")),
    *(Bad("GET", f"{SUB}/providers/Microsoft.Network/locations/local/CheckDnsNameAvailability", 400, "InvalidDomainNameLabel",
          "domainNameLabel", query=q) for q in ("", "domainNameLabel=Shop", "domainNameLabel=1a", "domainNameLabel=a%0a")),
    Bad("GET", f"{SUB}/providers/Microsoft.Compute/locations/mars/vmSizes", 400, "NoRegisteredProviderFound"),
    Bad("GET", f"{SUB}/providers/Microsoft.Compute/locations/local/operations/none", 404, "OperationNotFound"),
]  # fmt: skip


def test_every_bad_request() -> None:
    async def main(door: Door) -> None:
        sub, rg = str(door.cloud.subscription), str(door.cloud.group())
        before = door.stored()
        for bad in BAD:
            path = bad.path.replace(SUB, sub).replace(RG, rg)
            wants = bad.method in ("PUT", "PATCH") and bad.raw is None
            body = public_body() if wants else None
            answer = await door.ask(
                bad.method, path, body, version=bad.version, query=bad.query, raw=bad.raw, headers=bad.headers
            )
            found = (answer.status, answer.error["code"], answer.error.get("target", ""))
            assert found == (bad.status, bad.code, bad.target), f"{bad.method} {path[:200]} {bad.query[:40]}: {answer.raw!r}"
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)


def test_who_goes_away_while_sending_is_no_failure() -> None:
    async def main(door: Door) -> None:
        headers = [(b"authorization", f"Bearer {door.owner}".encode())]
        scope = {"type": "http", "method": "PUT", "path": f"{NOWHERE}/x", "query_string": b"", "headers": headers}
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        with capture_logs() as logs:
            await door.plane.app(scope, receive, send)
        assert sent[0]["status"] == 400 and not [line for line in logs if line["log_level"] == "error"]

    at_the_door(small_cloud(), main)


def test_what_is_missing_is_named_in_the_words_of_its_type() -> None:
    words = {
        "Microsoft.Resources/deployments": "Deployment 'x{0}' could not be found.",
        "Microsoft.Authorization/roleAssignments": "The role assignment 'x{0}' is not found.",
        "Microsoft.Authorization/roleDefinitions": "The specified role definition with ID 'x{0}' does not exist.",
        "Microsoft.Authorization/locks": "The Resource 'Microsoft.Authorization/locks/x{0}' under resource group '<null>' was "
        "not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    }

    async def main(door: Door) -> None:
        for type, message in words.items():
            answer = await door.ask("GET", str(door.cloud.subscription.resource(type, "x{0}")))
            assert (answer.status, answer.error["message"]) == (404, message)

    at_the_door(small_cloud(), main, executors=False)


def test_the_right_condition_is_met() -> None:
    async def main(door: Door) -> None:
        id = net(door.cloud.group(), "publicIPAddresses", "free")
        etag = (await door.get(id))["etag"]
        body = public_body(idleTimeoutInMinutes=10)
        assert (await door.ask("PUT", str(id), body, headers={"if-match": etag})).status == 200
        assert (await door.ask("PUT", str(id), public_body(), headers={"if-match": etag})).status == 412

    at_the_door(small_cloud(), main, executors=False)


def test_who_asked_stands_in_the_answer() -> None:
    async def main(door: Door) -> None:
        asked = {"x-ms-correlation-request-id": "11111111-2222-3333-4444-555555555555", "x-ms-client-request-id": "me-1"}
        answer = await door.ask("GET", "/subscriptions", headers=asked)
        assert answer.headers["x-ms-correlation-request-id"] == asked["x-ms-correlation-request-id"]
        assert answer.headers["x-ms-client-request-id"] == "me-1"
        forged = await door.ask("GET", "/subscriptions", headers={"x-ms-correlation-request-id": "a\r\nset-cookie: b"})
        assert "set-cookie" not in str(forged.headers)
        refused = await door.ask("GET", "/subscriptions", token=None)
        assert "authorization_uri=" in refused.headers["www-authenticate"]

    at_the_door(small_cloud(), main, executors=False)


# -- templates --------------------------------------------------------------------------------------------------------


def _ip(name: str, *after: str, **properties: Any) -> dict[str, Any]:
    type = "Microsoft.Network/publicIPAddresses"
    needs = [f"[resourceId('{type}', '{a}')]" for a in after]
    return {"type": type, "apiVersion": "2024-07-01", "name": name, "location": "local", "sku": {"name": "Standard"},
            "dependsOn": needs, "properties": {"publicIPAllocationMethod": "Static", **properties}}  # fmt: skip


TEMPLATES: list[tuple[str, Any, set[str], tuple[str, ...]]] = [
    ("a cycle", deployment([_ip("a", "b"), _ip("b", "a")]), {"InvalidTemplate"}, ("circular", "resources[0]")),
    ("a syntax error", deployment([_ip("[concat('a']")]), {"InvalidTemplate"}, ("template language express", "name")),
    ("a missing parameter", deployment([_ip("[parameters('who')]")], parameters={"who": {"type": "string"}}),
     {"InvalidTemplate"}, ("who",)),
    ("an unknown function", deployment([_ip("[magic('a')]")]), {"InvalidTemplate"}, ("magic",)),
    ("a dependency on nothing", deployment([_ip("a", "none")]), {"InvalidTemplate"}, ("none",)),
    ("no template", {"properties": {"mode": "Incremental"}}, {"InvalidRequestContent"}, ("properties.template",)),
    ("no mode known", {"properties": {"mode": "Wild", "template": {}}}, {"InvalidParameter"}, ("properties.mode",)),
]


@pytest.mark.parametrize("case", TEMPLATES, ids=lambda c: c[0])
def test_templates_are_refused_with_their_place(case: Any) -> None:
    _, body, codes, said = case

    async def main(door: Door) -> None:
        id, before = door.cloud.group().resource(DEPLOYMENTS, "new"), door.stored()
        answer = await door.put(id, body)
        assert answer.status == 400 and answer.error["code"] in codes, answer.raw
        text = answer.raw.decode().lower()
        assert all(word.lower() in text for word in said), answer.raw
        places = [i["info"] for i in answer.error.get("additionalInfo", ()) if i["type"] == "TemplateViolation"]
        if answer.error["code"] == "InvalidTemplate":
            assert places and all(p["lineNumber"] >= 1 and p["linePosition"] >= 1 for p in places), answer.raw
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)


def test_a_broken_body_names_its_line() -> None:
    async def main(door: Door) -> None:
        id = door.cloud.group().resource(DEPLOYMENTS, "new")
        raw = b'{"properties": {"mode": "Incremental",\n  template: {"resources": [}\n}}'
        answer = await door.ask("PUT", str(id), raw=raw)
        assert answer.status == 400 and "line" in answer.error["message"].lower(), answer.raw

    at_the_door(small_cloud(), main, executors=False)


def test_validate_names_every_fault_and_stores_nothing() -> None:
    async def main(door: Door) -> None:
        id, before = door.cloud.group().resource(DEPLOYMENTS, "new"), door.stored()
        wrong = [{**_ip("a"), "location": "mars"}, _ip("b", idleTimeoutInMinutes=99)]
        answer = await door.ask("POST", f"{id}/validate", deployment(wrong))
        assert (answer.status, answer.error["code"]) == (400, "InvalidTemplateDeployment"), answer.raw
        below = f"{id.scope}/providers/Microsoft.Network/publicIPAddresses"
        assert answer.faults() == {
            ("LocationNotAvailableForResourceType", f"{below}/a"), ("InvalidParameter", f"{below}/b"),
        }  # fmt: skip
        inner = [cause["details"][0]["target"] for cause in answer.error["details"]]
        assert sorted(inner) == ["location", "properties.idleTimeoutInMinutes"]
        assert (await door.ask("POST", f"{id}/validate", deployment([_ip("a")]))).status == 200
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)


def test_what_this_cloud_does_not_have_is_told_before_anything_is_made() -> None:
    def machine(name: str, image: dict[str, str], **more: Any) -> dict[str, Any]:
        card = {"id": f"{NOWHERE}/networkInterfaces/none"}
        return {"type": "Microsoft.Compute/virtualMachines", "apiVersion": "2024-07-01", "name": name, "location": "local",
                **more, "properties": {"hardwareProfile": {"vmSize": "Standard_B1ls"},
                                       "storageProfile": {"imageReference": image},
                                       "networkProfile": {"networkInterfaces": [card]}}}  # fmt: skip

    gone = "[reference(resourceId('Microsoft.Network/publicIPAddresses', 'none'), '2024-07-01').ipAddress]"
    wrong = [
        machine("m", {"publisher": "Nobody", "offer": "Nothing", "sku": "0", "version": "latest"}, zones=["1"]),
        machine("g", {"id": f"{NOWHERE}/images/i"}),
        {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-01-01", "name": "a", "tags": {"seen": gone}},
        {"type": "Microsoft.Network/networkSecurityGroups/securityRules", "apiVersion": "2024-07-01", "name": "nsg/r",
         "properties": {"priority": 7}},
    ]  # fmt: skip

    async def main(door: Door) -> None:
        id, before = door.cloud.group().resource(DEPLOYMENTS, "new"), door.stored()
        body = deployment(wrong)
        validated = await door.ask("POST", f"{id}/validate", body)
        assert validated.status == 400
        foreseen = (await door.ask("POST", f"{id}/whatIf", body)).json
        assert foreseen["status"] == "Failed" and foreseen["error"] == validated.error
        told = {cause["target"].rpartition("/")[2]: cause for cause in validated.error["details"]}
        assert {(d["code"], d["target"]) for d in told["m"]["details"]} == {
            ("AvailabilityZonesNotSupported", "zones"),
            ("PlatformImageNotFound", "properties.storageProfile.imageReference"),
        }
        assert "Nobody:Nothing:0:latest" in validated.raw.decode() and "Lazur:TinyLinux:1:1.0.0" in validated.raw.decode()
        assert told["g"]["details"][0]["target"] == "properties.storageProfile.imageReference.id"
        assert told["a"]["code"] == "InvalidResourceNamespace" and "Microsoft.Compute" in told["a"]["message"]
        assert ".Admin" not in told["a"]["message"]
        assert "properties.priority" in {d["target"] for d in told["r"]["details"]}
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)
