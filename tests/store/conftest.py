"""The stores of this suite."""

from tests.store.support import make

__all__ = ["make"]
