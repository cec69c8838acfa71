"""Drives the unmodified az: one process of az's interpreter per configuration, many commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADMINISTRATOR = "login -u {lazur_user} -p {lazur_password} --tenant {lazur_tenant}"
"""How the administrator signs in."""
RUNNER = Path(__file__).with_name("az_runner.py")


@dataclass(frozen=True)
class Answer:
    """How one command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Az:
    """az with one environment; `close` it."""

    def __init__(self, program: Path, environment: Mapping[str, str], names: Mapping[str, str]) -> None:
        self._names = {name.lower(): value for name, value in names.items()}
        command = [str(program.parent / "python"), "-I", str(RUNNER)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=dict(environment))

    def run(self, line: str, **values: object) -> Answer:
        """Run `az <line>`; each `{name}` in it stands for one of `values` or of the names given at the start."""
        known = {**self._names, **values}
        arguments = [_filled(part, known) for part in shlex.split(line)]
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        text = self._process.stdout.readline()
        assert text, f"az itself ended at: az {line}"
        found = json.loads(text)
        return Answer(found["code"], found["out"], found["err"])

    def __call__(self, line: str, **values: object) -> Any:
        """The JSON answer of `az <line>`, None if it printed nothing; fails with az's own words when az fails."""
        answer = self.run(line, **values)
        assert answer.code == 0, f"az {line}\nended with {answer.code}: {answer.err[-3000:]}"
        return json.loads(answer.out) if answer.out.strip() else None

    def refused(self, line: str, code: int = 1, **values: object) -> str:
        """What az says when `az <line>` ends with exit code `code`."""
        answer = self.run(line, **values)
        assert answer.code == code, f"az {line}\nended with {answer.code}, not {code}: {answer.out}{answer.err[-3000:]}"
        return answer.err

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _filled(part: str, known: Mapping[str, object]) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: str(known[m[1]]), part)


@contextmanager
def registered(program: Path, environment: Mapping[str, str]) -> Iterator[Az]:
    """az that was told by hand of the cloud that `environment` speaks of; nobody is signed in yet."""
    shell = Az(program, {**os.environ, **environment}, environment)
    try:
        shell("cloud register -n mine --endpoint-resource-manager {lazur_endpoint}")
        shell("cloud set -n mine")
        shell("config set core.instance_discovery=false")
        yield shell
    finally:
        shell.close()
