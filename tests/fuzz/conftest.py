"""How long to look: few examples and always the same ones, or FUZZ_EXAMPLES of them, drawn anew."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_ASKED = os.environ.get("FUZZ_EXAMPLES", "")
settings.register_profile(
    "fuzz",
    max_examples=int(_ASKED or 200),
    derandomize=not _ASKED,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FUZZ = settings.get_profile("fuzz")
