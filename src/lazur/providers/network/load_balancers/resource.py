"""Declaration of load balancers: frontends, pools, probes, rules and NAT rules, all in one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, Model, Ref, SubResource
from lazur.model.resource import Embedded, Rendering, Resource
from lazur.providers.network.common import API_VERSIONS, NETWORK, Addressed

TYPE = f"{NETWORK}/loadBalancers"
Frontend = Ref(f"{TYPE}/frontendIPConfigurations")
Pool = Ref(f"{TYPE}/backendAddressPools")
Port = Annotated[int, Field(ge=0, le=65535)]
Protocol = Annotated[Literal["Tcp", "Udp", "All"], Caseless()]


class Named(Model):
    """What every child of a load balancer has."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "etag", "type"})
    name: str = ""


class FrontendSpec(Addressed):
    """An address clients connect to."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "inboundNatRules", "inboundNatPools", "outboundRules", "loadBalancingRules"}
    )


class FrontendIPConfiguration(Named):
    """A frontend with its name."""

    properties: FrontendSpec = FrontendSpec()


class PoolSpec(Model):
    """The machines behind the balancer; interfaces join it themselves."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "backendIPConfigurations", "loadBalancingRules", "outboundRule", "outboundRules",
         "inboundNatRules",
         "loadBalancerBackendAddresses"}
    )  # fmt: skip


class BackendAddressPool(Named):
    """A pool with its name."""

    properties: PoolSpec = PoolSpec()


class ProbeSpec(Model):
    """How a member shows that it is well."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "loadBalancingRules"})
    blank: ClassVar[frozenset[str]] = frozenset({"requestPath"})
    protocol: Annotated[Literal["Tcp", "Http", "Https"], Caseless()]
    port: Annotated[int, Field(ge=1, le=65535)]
    request_path: str | None = None
    interval_in_seconds: Annotated[int, Field(ge=5, le=2147483)] = 15
    number_of_probes: Annotated[int, Field(ge=1)] = 2
    probe_threshold: Annotated[int, Field(ge=1, le=100)] = 1


class Probe(Named):
    """A probe with its name."""

    properties: ProbeSpec


class RuleSpec(Model):
    """What arrives at a frontend port goes to a pool."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    frontend_ip_configuration: Annotated[SubResource | None, Field(alias="frontendIPConfiguration"), Frontend] = None
    backend_address_pool: Annotated[SubResource | None, Pool] = None
    backend_address_pools: Annotated[list[SubResource], Pool] = []
    probe: Annotated[SubResource | None, Ref(f"{TYPE}/probes")] = None
    protocol: Protocol
    load_distribution: Annotated[Literal["Default", "SourceIP", "SourceIPProtocol"], Caseless()] = "Default"
    frontend_port: Port
    backend_port: Port | None = None
    idle_timeout_in_minutes: Annotated[int, Field(ge=4, le=100)] = 4
    enable_floating_ip: Annotated[bool, Field(alias="enableFloatingIP")] = False
    enable_tcp_reset: bool = False
    disable_outbound_snat: bool = False


class LoadBalancingRule(Named):
    """A rule with its name."""

    properties: RuleSpec


class NatRuleSpec(Model):
    """What arrives at a frontend port goes to one machine."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "backendIPConfiguration"})
    frontend_ip_configuration: Annotated[SubResource | None, Field(alias="frontendIPConfiguration"), Frontend] = None
    protocol: Protocol = "Tcp"
    frontend_port: Port
    backend_port: Port
    idle_timeout_in_minutes: Annotated[int, Field(ge=4, le=30)] = 4
    enable_floating_ip: Annotated[bool, Field(alias="enableFloatingIP")] = False
    enable_tcp_reset: bool = False


class InboundNatRule(Named):
    """A NAT rule with its name."""

    properties: NatRuleSpec


class OutboundRuleSpec(Model):
    """Which frontends a pool's machines go out through."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    frontend_ip_configurations: Annotated[list[SubResource], Field(alias="frontendIPConfigurations"), Frontend]
    backend_address_pool: Annotated[SubResource, Pool]
    protocol: Protocol
    idle_timeout_in_minutes: Annotated[int, Field(ge=4, le=120)] = 4
    allocated_outbound_ports: Annotated[int, Field(ge=0, le=64000)] = 0
    enable_tcp_reset: bool = False


class OutboundRule(Named):
    """An outbound rule with its name."""

    properties: OutboundRuleSpec


class LoadBalancerSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "resourceGuid"})
    frontend_ip_configurations: Annotated[list[FrontendIPConfiguration], Field(alias="frontendIPConfigurations")] = []
    backend_address_pools: list[BackendAddressPool] = []
    probes: list[Probe] = []
    load_balancing_rules: list[LoadBalancingRule] = []
    inbound_nat_rules: list[InboundNatRule] = []
    outbound_rules: list[OutboundRule] = []
    inbound_nat_pools: list[Any] = []
    """Kept for clients that send it; scale sets, which it serves, are not offered yet."""


def frontends_are_whole(spec: LoadBalancerSpec) -> Iterator[LazurError]:
    """A frontend is public or internal, not both, and all frontends of a balancer are of one sort."""
    kinds = set()
    for index, frontend in enumerate(spec.frontend_ip_configurations):
        path, said = f"properties.frontendIPConfigurations[{index}].properties", frontend.properties
        if (said.public_ip_address is None) == (said.subnet is None):
            message = f"Frontend '{frontend.name}' must have either a publicIPAddress or a subnet."
            yield LazurError("LoadBalancerFrontendIPConfigurationInvalid", message, target=path)
        if said.subnet and said.private_ip_allocation_method == "Static" and said.private_ip_address is None:
            message = f"Frontend '{frontend.name}' is static and must name its privateIPAddress."
            yield LazurError("PrivateIPAddressIsRequired", message, target=f"{path}.privateIPAddress")
        kinds.add(said.subnet is None)
    if len(kinds) > 1:
        message = "A load balancer's frontends must be all public or all internal."
        yield LazurError("LoadBalancerMixedFrontends", message, target="properties.frontendIPConfigurations")


def ports_are_free(spec: LoadBalancerSpec) -> Iterator[LazurError]:
    """No two rules listen on the same frontend port; every rule names its frontend; HTTP probes have a path."""
    seen: dict[tuple[str, str, int], str] = {}
    listeners: list[tuple[str, str, RuleSpec | NatRuleSpec]] = [
        *((f"loadBalancingRules[{i}]", r.name, r.properties) for i, r in enumerate(spec.load_balancing_rules)),
        *((f"inboundNatRules[{i}]", r.name, r.properties) for i, r in enumerate(spec.inbound_nat_rules)),
    ]
    for path, name, said in listeners:
        if said.frontend_ip_configuration is None:
            message = f"Rule '{name}' must name its frontendIPConfiguration."
            yield LazurError(
                "MissingRequiredParameter", message, target=f"properties.{path}.properties.frontendIPConfiguration"
            )
            continue
        key = (said.frontend_ip_configuration.id.lower(), said.protocol, said.frontend_port)
        if key in seen:
            message = f"Rules '{seen[key]}' and '{name}' use the same frontend, protocol and port {said.frontend_port}."
            yield LazurError(
                "RulesUseSameFrontendPortProtocolAndVIP", message, target=f"properties.{path}.properties.frontendPort"
            )
        seen[key] = name
    for index, probe in enumerate(spec.probes):
        if probe.properties.protocol != "Tcp" and not probe.properties.request_path:
            message = f"Probe '{probe.name}' is {probe.properties.protocol} and must have a requestPath."
            yield LazurError(
                "LoadBalancerProbeRequestPathMissing", message, target=f"properties.probes[{index}].properties.requestPath"
            )
        if probe.properties.protocol == "Https":
            message = f"Probe '{probe.name}': HTTPS probes are not offered yet; use Http or Tcp."
            yield LazurError(
                "LoadBalancerProbeProtocolNotSupported", message, target=f"properties.probes[{index}].properties.protocol"
            )


_EXAMPLE_FRONTEND = {"id": f"@{TYPE}/frontendIPConfigurations/fe"}
_EXAMPLE_POOL = {"id": f"@{TYPE}/backendAddressPools/pool"}


class LoadBalancer(Resource[LoadBalancerSpec]):
    """Spreads connections over healthy machines; the client's address reaches them."""

    type = TYPE
    api_versions = API_VERSIONS
    envelope = frozenset({"sku", "extendedLocation"})
    rules = (frontends_are_whole, ports_are_free)
    embedded = (
        Embedded("frontendIPConfigurations", "frontendIPConfigurations", FrontendSpec,
                 {"publicIPAddress": {"id": f"@{NETWORK}/publicIPAddresses#2"}}),
        Embedded("backendAddressPools", "backendAddressPools", PoolSpec, {}),
        Embedded("probes", "probes", ProbeSpec, {"protocol": "Http", "port": 80, "requestPath": "/"}),
        Embedded("loadBalancingRules", "loadBalancingRules", RuleSpec,
                 {"frontendIPConfiguration": _EXAMPLE_FRONTEND, "backendAddressPool": _EXAMPLE_POOL, "protocol": "Tcp",
                  "frontendPort": 80, "backendPort": 80}),
        Embedded("inboundNatRules", "inboundNatRules", NatRuleSpec,
                 {"frontendIPConfiguration": _EXAMPLE_FRONTEND, "protocol": "Tcp", "frontendPort": 50001, "backendPort": 22},
                 stays=True),
        Embedded("outboundRules", "outboundRules", OutboundRuleSpec,
                 {"frontendIPConfigurations": [_EXAMPLE_FRONTEND], "backendAddressPool": _EXAMPLE_POOL, "protocol": "All"}),
    )  # fmt: skip
    example: ClassVar = {
        "location": "local",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [
                {"name": "fe", "properties": {"publicIPAddress": {"id": "@Microsoft.Network/publicIPAddresses"}}}
            ],
            "backendAddressPools": [{"name": "pool"}],
        },
    }

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With addresses, members of pools, and which rule uses what."""
        properties, record = shown.properties, shown.record
        properties["resourceGuid"] = record.uid
        for child in cls.embedded:
            properties.setdefault(child.list, [])
        properties.setdefault("inboundNatPools", [])
        for frontend in properties["frontendIPConfigurations"]:
            frontend["properties"].setdefault("privateIPAllocationMethod", "Dynamic")
            address = record.allocated.get("addresses", {}).get(frontend["name"])
            if address and "subnet" in frontend["properties"]:
                frontend["properties"]["privateIPAddress"] = address
        _back_references(properties)
        for item in (*properties["backendAddressPools"], *properties["inboundNatRules"]):
            users = [r for r in shown.referrers if r.target == item["id"].lower() and r.source != record.key]
            ids = [{"id": i} for i in shown.children_of(users, "ipConfigurations")]
            if ids and "/inboundNatRules/" in item["id"]:
                item["properties"]["backendIPConfiguration"] = ids[0]
            elif ids:
                item["properties"]["backendIPConfigurations"] = ids
        return properties


def _back_references(properties: Mapping[str, Any]) -> None:
    """Tell frontends, pools and probes which rules use them."""
    by_id: dict[str, dict[str, Any]] = {}
    for name in ("frontendIPConfigurations", "backendAddressPools", "probes"):
        by_id |= {item["id"].lower(): item["properties"] for item in properties[name]}
    for name in ("loadBalancingRules", "inboundNatRules", "outboundRules"):
        for rule in properties[name]:
            for target in sorted(set(_targets(rule["properties"]))):
                if target in by_id:
                    by_id[target].setdefault(name, []).append({"id": rule["id"]})


def _targets(said: Mapping[str, Any]) -> Sequence[str]:
    single = ("frontendIPConfiguration", "backendAddressPool", "probe")
    found = [said[name]["id"].lower() for name in single if said.get(name)]
    for name in ("backendAddressPools", "frontendIPConfigurations"):
        found += [item["id"].lower() for item in said.get(name, [])]
    return found
