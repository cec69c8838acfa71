"""The control plane's own tests on the host image's Python, where the roles really run.

The launcher and every other test run on the machine's Python; this run shows that nothing depends on it. Test tools are
taken from the environment that runs this test: they are pure Python.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lazur.lifecycle.host_image import LIBRARIES, PYTHON, SOURCES, ensure_host_image, package_layer
from lazur.lifecycle.project import ROOT, cache_root

_LACKS = "needs root" if os.geteuid() else "needs mmdebstrap" if shutil.which("mmdebstrap") is None else ""
pytestmark = pytest.mark.skipif(bool(_LACKS), reason=f"the host image: {_LACKS}")

_TOOLS = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")
_SUITES = ("tests/cloud", "tests/executor/test_core.py")
_SCRIPT = """
set -e
mount -t tmpfs none "$3"
mkdir "$3/upper" "$3/work" "$3/root"
mount -t overlay overlay -o "lowerdir=$1:$2,upperdir=$3/upper,workdir=$3/work" "$3/root"
mkdir -p "$3/root/src" "$3/root/tools" "$3/root/opt/lazur"
cp -r "$4/tests" "$4/examples" "$4/pyproject.toml" "$3/root/opt/lazur/"
cp -r "$5/." "$3/root/tools"
mount -t proc proc "$3/root/proc"
mount --bind /dev "$3/root/dev"
shift 5
exec chroot "$ROOT_DIR/root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 "$@"
"""


def _tools(folder: Path) -> Path:
    """The test tools alone, without the machine's other libraries."""
    folder.mkdir()
    for name in _TOOLS:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(origin, folder)
    return folder


def test_the_control_plane_passes_its_tests_on_the_images_python(tmp_path: Path) -> None:
    root = ensure_host_image(cache_root(), lambda line: print(line, file=sys.stderr))
    place = tmp_path / "place"
    place.mkdir()
    path = f"PYTHONPATH=/{LIBRARIES}:/{SOURCES}:/opt/lazur:/tools"
    pytest_run = ["-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "--rootdir=/opt/lazur", "-c", "/dev/null"]
    inside = [path, f"python{PYTHON}", *pytest_run, "--import-mode=importlib", *(f"/opt/lazur/{s}" for s in _SUITES)]
    layers = [str(package_layer(cache_root())), str(root), str(place), str(ROOT), str(_tools(tmp_path / "tools"))]
    command = ["unshare", "-m", "sh", "-c", _SCRIPT, "sh", *layers, *inside]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env={**os.environ, "ROOT_DIR": str(place)}
    )
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-2000:]}"
    assert " passed" in ran.stdout.splitlines()[-1], ran.stdout[-300:]
