"""Structured logs: one JSON line per event on standard error. Must never be given a secret."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog


def configure(level: str = "info") -> None:
    """Send every log line of this process to standard error as JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> Any:
    """A logger whose lines carry `part=name`. It is configured at its first line: modules make theirs when loaded."""
    return cast(Any, structlog.get_logger(part=name))
