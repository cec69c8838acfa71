"""Where this clone and its cache are. Must never create anything."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The clone this package runs from: the folder with the launcher, the locks and `src`."""


def cache_root() -> Path:
    """Where things that can be built again are kept: `$LAZUR_CACHE`, else by privilege the machine's or the user's cache."""
    if configured := os.environ.get("LAZUR_CACHE"):
        return Path(configured)
    return Path("/var/cache/lazur") if os.geteuid() == 0 else Path.home() / ".cache" / "lazur"
