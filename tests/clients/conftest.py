"""Fixtures of the client tests: the cached az, the clouds, az signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lazur.lifecycle.client_environments import ensure_client
from lazur.lifecycle.project import cache_root
from lazur.lifecycle.quickstart import ssh_key
from tests.clients.az import ADMINISTRATOR, Az, registered
from tests.clients.clouds import Cloud, obstacle, running
from tests.clients.results import Results

LOGIN = "login --service-principal -u {lazur_client_id} -p {lazur_client_secret} --tenant {lazur_tenant}"
GROUPS = ("web", "other", "article", "sdk", "lts", "drawn", "raised")
"""The resource groups the tests make."""


def _program(kind: str) -> Path:
    """A folder of programs of the cache, installed when this machine's cache has it not."""
    if os.geteuid() != 0:
        pytest.skip(f"the cached {kind} belongs to root's cache; run as root")
    return ensure_client(kind, cache_root(), print)


@pytest.fixture(scope="session")
def az_program() -> Path:
    """az of today."""
    return _program("az") / "az"


@pytest.fixture(scope="session")
def lts_program() -> Path:
    """az with long-term support."""
    return _program("az-lts") / "az"


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The Python that has Azure's SDKs of today."""
    return _program("sdk") / "python"


@pytest.fixture(scope="session")
def results() -> Iterator[Results]:
    """What clients are answered in this run."""
    found = Results()
    yield found
    if os.environ.get("LAZUR_RESULTS") == "write":
        found.write()


@pytest.fixture(scope="module", params=["simulated", "rack"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, results: Results) -> Iterator[Cloud]:
    """A running cloud; every module is tried against each kind there is. One that says `AS_A_RACK` gets a simulated cloud with
    a rack's own kind of authority."""
    kind: str = request.param
    if reason := obstacle(kind):
        pytest.skip(reason)
    with running(kind, tmp_path_factory.mktemp(kind), as_a_rack=getattr(request.module, "AS_A_RACK", False)) as found:
        yield found
        if found.record is not None:
            results.read(found.record)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ssh key; the public half lies beside it as `.pub`."""
    path = tmp_path_factory.mktemp("ssh") / "id"
    path.with_suffix(".pub").write_text(ssh_key(path))
    return path


@pytest.fixture(scope="module")
def az(az_program: Path, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az in the environment `lazur env` prints, signed in as the service principal."""
    with _signed_in(az_program, cloud, tmp_path_factory.mktemp("home")) as shell:
        yield shell


@pytest.fixture(scope="module", params=["az", "az-lts"])
def each_az(request: pytest.FixtureRequest, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """The same, with the az of today and with the one with long-term support."""
    program: Path = request.getfixturevalue({"az": "az_program", "az-lts": "lts_program"}[request.param])
    home = tmp_path_factory.mktemp("home")
    # Each keeps its own tokens and indexes, beside the cloud's address.
    kept = shutil.copytree(cloud.environment["AZURE_CONFIG_DIR"], home / "azure")
    with _signed_in(program, cloud, home, AZURE_CONFIG_DIR=str(kept)) as shell:
        yield shell


@pytest.fixture(scope="module")
def administrator(az_program: Path, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az that was told of the cloud by hand, signed in as the administrator, who owns the root of the directory."""
    home = str(tmp_path_factory.mktemp("person"))
    with registered(az_program, {**cloud.environment, "HOME": home, "AZURE_CONFIG_DIR": home}) as shell:
        shell(ADMINISTRATOR)
        yield shell


@contextmanager
def _signed_in(program: Path, cloud: Cloud, home: Path, **more: str) -> Iterator[Az]:
    # What az keeps belongs to the test, and the user's own keys stay out of it.
    shell = Az(program, {**os.environ, **cloud.environment, "HOME": str(home), **more}, cloud.environment)
    try:
        shell(LOGIN)
        for name in shell("group list --query [].name"):
            # What an earlier run on the same rack left, and nothing else.
            if name in GROUPS:
                shell("group delete -y -n {name}", name=name)
        yield shell
    finally:
        shell.close()
