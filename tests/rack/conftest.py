"""One rack with the example deployed for all tests of a cloud, and the auditor after each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.project import ROOT, cache_root
from lazur.lifecycle.rack import Rack
from lazur.lifecycle.site import Site
from tests.rack.flows import Cloud, Example
from tests.rack.support import CHECKS, obstacle, scratch

# A state folder whose rack is used, and left standing: for whoever works on these tests.
STANDING = "LAZUR_TEST_RACK"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine carries one rack: the tests that make and break racks of their own come before those of a cloud."""
    here = [i for i, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ordered = sorted((items[i] for i in here), key=_of_a_cloud)
    for place, item in zip(here, ordered, strict=True):
        items[place] = item


def _of_a_cloud(item: pytest.Item) -> bool:
    return "cloud" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A cloud whose name is in this machine's hosts file, as a customer's tools need it."""
    standing = os.environ.get(STANDING)
    if standing:
        yield from _cloud(Path(standing), keep=True)
        return
    if reason := obstacle():
        pytest.skip(reason)
    with scratch() as folder:
        yield from _cloud(folder / "state", keep=False)


def _cloud(state: Path, *, keep: bool) -> Iterator[Cloud]:
    rack = Rack(Site.load(ROOT / "sites" / "laptop.yaml"), state, cache_root(), SystemClock(), print)
    try:
        rack.up(CHECKS)
        made = Cloud(rack)
        try:
            yield made
        finally:
            made.close()
    finally:
        if not keep:
            rack.down(purge=True)


@pytest.fixture(scope="session")
def example(cloud: Cloud) -> Example:
    """The example, deployed once."""
    return cloud.example("example")


@pytest.fixture(autouse=True)
def audited(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, everything is as it is wanted afterwards."""
    yield
    if "cloud" in request.fixturenames:
        found: Cloud = request.getfixturevalue("cloud")
        found.clean()
