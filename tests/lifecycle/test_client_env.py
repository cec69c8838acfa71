"""The environment for clients: what is written, what is kept, what is said when there is no cloud."""

from __future__ import annotations

import configparser
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from lazur.identity.endpoints import Endpoints
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.lifecycle.client_env import ClientEnvironment, client_environment

SECRETS = {
    "tenant_id": "7e2a1c7c-1111-4222-8333-444455556666",
    "client_id": "c",
    "client_secret": "it's $HOME",
    "subscription_id": "s",
    "region": "local",
    "admin_upn": "admin@local.lazur.internal",
    "admin_password": "p",
}


def environment(folder: Path, endpoints: Endpoints) -> ClientEnvironment:
    credentials = folder / "credentials.json"
    credentials.write_text(json.dumps({**SECRETS, "endpoints": asdict(endpoints)}))
    return client_environment(credentials, folder / "pki", folder / "clients", SystemClock())


def ini(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(path)
    return parser


def test_a_rack_is_registered_selected_and_trusted(tmp_path: Path) -> None:
    found = environment(tmp_path, Endpoints.for_region("local", "lazur.internal"))
    config = Path(found.variables["AZURE_CONFIG_DIR"])
    cloud = ini(config / "clouds.config")["Lazur-local"]
    assert cloud["endpoint_resource_manager"] == "https://management.local.lazur.internal"
    assert cloud["suffix_keyvault_dns"] == ".vault.local.lazur.internal"
    settings = ini(config / "config")
    assert settings["cloud"]["name"] == "Lazur-local" and settings["core"]["instance_discovery"] == "false"
    assert config.stat().st_mode & 0o077 == 0
    assert found.variables["ARM_METADATA_HOSTNAME"] == "management.local.lazur.internal"
    assert (tmp_path / "pki" / "ca.pem").read_text() in Path(found.variables["REQUESTS_CA_BUNDLE"]).read_text()


def test_a_simulated_cloud_is_reached_as_adfs(tmp_path: Path) -> None:
    found = environment(tmp_path, Endpoints.for_localhost(9443, "local", "lazur.internal"))
    assert (found.variables["AZURE_TENANT_ID"], found.variables["AZURE_AUTHORITY_HOST"]) == ("adfs", "https://localhost:9443")
    assert found.variables["LAZUR_TENANT"] == SECRETS["tenant_id"]


def test_a_shell_reads_it_as_it_is(tmp_path: Path) -> None:
    text = environment(tmp_path, Endpoints.for_region("local", "lazur.internal")).exports()
    script = 'eval "$1"; printf %s "$LAZUR_CLIENT_SECRET"'
    run = subprocess.run(["sh", "-uc", script, "sh", text], capture_output=True, text=True, check=True)
    assert run.stdout == SECRETS["client_secret"]


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    endpoints = Endpoints.for_region("local", "lazur.internal")
    config = Path(environment(tmp_path, endpoints).variables["AZURE_CONFIG_DIR"])
    with (config / "config").open("a") as file:
        file.write("[defaults]\ngroup = mine\n")
    with (config / "clouds.config").open("a") as file:
        file.write("subscription = mine\n")
    environment(tmp_path, endpoints)
    assert ini(config / "config")["defaults"]["group"] == "mine"
    assert ini(config / "clouds.config")["Lazur-local"]["subscription"] == "mine"


def test_without_a_cloud_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(LazurError, match="lazur up"):
        client_environment(tmp_path / "nothing.json", tmp_path / "pki", tmp_path / "clients", SystemClock())
    assert not list(tmp_path.iterdir())
