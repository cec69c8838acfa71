"""What holds for all tests: time is not what they examine. Must never hold a fixture that only some layers need."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The machine may be shared and slow; what a test asserts must not depend on it.
settings.register_profile("lazur", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lazur")
