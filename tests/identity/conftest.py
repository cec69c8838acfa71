"""A stamp behind TLS on loopback, which client libraries reach as they reach any cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.identity.support import Served, served


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("pki")
    with served(directory) as running, pytest.MonkeyPatch.context() as environment:
        # A bundle already set in the environment would win over `verify`; set ours the way operators do.
        environment.setenv("REQUESTS_CA_BUNDLE", str(running.ca))
        environment.setenv("NO_PROXY", "localhost,127.0.0.1")
        yield running
