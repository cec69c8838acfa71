"""The metadata shapes, read the way the clients read them."""

from __future__ import annotations

from lazur.identity.endpoints import Endpoints, normal
from lazur.identity.metadata import ImageAlias, alias_document, endpoints_body

RACK = Endpoints.for_region("local", "lazur.internal")
SIMULATED = Endpoints.for_localhost(8443, "local", "lazur.internal")


def test_az_and_terraform_on_the_rack() -> None:
    body = endpoints_body(RACK, "2022-09-01")
    # What az's `cloud register` cannot do without.
    assert body["authentication"]["loginEndpoint"].rstrip("/") == "https://login.local.lazur.internal"
    assert body["authentication"]["audiences"][0] == "https://management.local.lazur.internal"
    assert body["suffixes"] == {
        "storage": "core.local.lazur.internal",
        "keyVaultDns": "vault.local.lazur.internal",
    }
    # What go-azure-sdk asks before it believes this is not Azure Stack.
    assert body["name"] != "AzureStackCloud"
    assert (body["authentication"]["identityProvider"], body["authentication"]["tenant"]) == ("AAD", "common")
    assert body["vmImageAliasDoc"] == "https://management.local.lazur.internal/metadata/aliases.json"
    assert endpoints_body(RACK, "2019-05-01") == [body] == endpoints_body(RACK, "2020-06-01")
    assert endpoints_body(RACK, "2025-01-01") == body


def test_the_old_shape_and_the_adfs_authority() -> None:
    old = endpoints_body(SIMULATED, "2015-01-01")
    assert set(old) == {"galleryEndpoint", "graphEndpoint", "portalEndpoint", "authentication"}
    assert old["authentication"]["loginEndpoint"] == "https://localhost:8443/adfs"
    new = endpoints_body(SIMULATED, "2022-09-01")["authentication"]
    assert (new["identityProvider"], new["loginEndpoint"].endswith("/adfs")) == ("ADFS", True)


def test_known_audiences() -> None:
    for known in (
        "https://management.azure.com/",
        "https://MANAGEMENT.local.lazur.internal",
        "https://vault.local.lazur.internal",
        "https://acct.blob.core.local.lazur.internal",
        "https://kv1.vault.local.lazur.internal/",
        "https://storage.azure.com/",
        "https://graph.microsoft.com/",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    ):
        assert RACK.serves(normal(known)), known
    for unknown in (
        "",
        "https://example.org",
        "http://management.azure.com",
        "https://evilcore.local.lazur.internal",
        "https://adminmanagement.local.lazur.internal",
        "https://kv1.vault.local.lazur.internal?x",
        "app-2",
    ):
        assert not RACK.serves(normal(unknown)), unknown


def test_alias_document() -> None:
    rows = [ImageAlias("LazurTiny", "Linux", "Lazur", "tiny", "1"), ImageAlias("Win", "Windows", "M", "w", "2022")]
    systems = alias_document(rows)["outputs"]["aliases"]["value"]
    assert systems["Linux"]["LazurTiny"] == {
        "publisher": "Lazur",
        "offer": "tiny",
        "sku": "1",
        "version": "latest",
        "architecture": "x64",
    }
    assert list(systems["Windows"]) == ["Win"]
