"""The catalogue's tiny Linux image."""

from lazur.lifecycle.guest_image.build import ensure_tiny_image

__all__ = ["ensure_tiny_image"]
