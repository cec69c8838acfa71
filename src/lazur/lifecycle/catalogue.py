"""The stamp's image catalogue: files in the image store and the list that describes them.

A file's name carries the hash of its content's recipe, so a disk's backing file never changes under it. Must never delete
an image: disks may stand on it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lazur.identity.files import write_atomic
from lazur.model.stamp import Image

LIST = "catalogue.json"
_BUILT_IN = Path(__file__).parent / "guest_image" / "catalogue.json"


def built_in(file: str) -> Image:
    """The tiny image's entry, its content being in `file`."""
    return image_of(json.loads(_BUILT_IN.read_text()), file)


def image_of(entry: dict[str, Any], file: str) -> Image:
    """A catalogue entry as the control plane knows it."""
    return Image(
        entry["publisher"], entry["offer"], entry["sku"], entry["version"], file, entry["virtualSizeBytes"], entry["osType"],
        entry["hyperVGeneration"], entry["architecture"], entry["agent"], entry.get("alias", ""), entry["minMemoryMiB"],
    )  # fmt: skip


def publish(source: Path, images: Path) -> Image:
    """Put the built tiny image into the image store, once per content, and list it."""
    images.mkdir(parents=True, exist_ok=True)
    file = f"tiny-{source.parent.name[:12]}.qcow2"
    target = images / file
    if not target.exists():
        partial = images / f".{file}.part"
        shutil.copyfile(source, partial)
        partial.chmod(0o444)
        partial.replace(target)
    entry = {**json.loads(_BUILT_IN.read_text()), "fileName": file}
    write_atomic(images / LIST, json.dumps([entry], indent=1).encode(), 0o644)
    return image_of(entry, file)


def listed(images: Path) -> tuple[Image, ...]:
    """All images of the store."""
    path = images / LIST
    if not path.exists():
        return ()
    return tuple(image_of(entry, entry["fileName"]) for entry in json.loads(path.read_text()))
