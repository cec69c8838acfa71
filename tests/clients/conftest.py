"""Fixtures of the client tests: the cached az, the clouds, az signed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lazur.lifecycle.client_environments import ensure_client
from lazur.lifecycle.project import cache_root
from lazur.lifecycle.quickstart import ssh_key
from tests.clients.az import Az
from tests.clients.clouds import Cloud, obstacle, running

LOGIN = "login --service-principal -u {lazur_client_id} -p {lazur_client_secret} --tenant {lazur_tenant}"
GROUPS = ("web", "other", "article", "sdk")
"""The resource groups the tests make."""


@pytest.fixture(scope="session")
def az_program() -> Path:
    """The cached az, installed when this machine's cache has it not."""
    if os.geteuid() != 0:
        pytest.skip("the cached az belongs to root's cache; run as root")
    return ensure_client("az", cache_root(), print) / "az"


@pytest.fixture(scope="module", params=["simulated", "rack"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running cloud; every module is tried against each kind there is."""
    kind: str = request.param
    if reason := obstacle(kind):
        pytest.skip(reason)
    with running(kind, tmp_path_factory.mktemp(kind)) as found:
        yield found


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ssh key; the public half lies beside it as `.pub`."""
    path = tmp_path_factory.mktemp("ssh") / "id"
    path.with_suffix(".pub").write_text(ssh_key(path))
    return path


@pytest.fixture(scope="module")
def az(az_program: Path, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az in the environment `lazur env` prints, signed in as the service principal."""
    # What az keeps belongs to the test, and the user's own keys stay out of it.
    home = tmp_path_factory.mktemp("home")
    shell = Az(az_program, {**os.environ, **cloud.environment, "HOME": str(home)}, cloud.environment)
    try:
        shell(LOGIN)
        for name in shell("group list --query [].name"):
            # What an earlier run on the same rack left, and nothing else.
            if name in GROUPS:
                shell("group delete -y -n {name}", name=name)
        yield shell
    finally:
        shell.close()
