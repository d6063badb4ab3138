"""A real Chromium, driven by Playwright, in front of a whole broker as `make dev` runs it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from broker import local
from tests.interop.javascript import HERE, ran

SCREENSHOTS = HERE / "screenshots"
_SECONDS = 180
WIDE, PHONE = (1280, 800), (375, 700)


@dataclass(frozen=True, slots=True)
class Chrome:
    """A browser that begins at the address which `make dev` prints, or elsewhere."""

    world: local.World

    @property
    def console(self) -> str:
        """Where the page is."""
        return f"{self.world.url}/console"

    def run(self, code: str, path: str = "", **options: Any) -> Any:
        """What the body of an async function returns; it knows `page`, `given`, `shot` and the others of browse.mjs."""
        outcome = self.observe(code, path, **options)
        return outcome.get("result")

    def observe(
        self,
        code: str,
        path: str = "",
        *,
        with_key: bool = True,
        size: tuple[int, int] = WIDE,
        theme: str = "light",
        script: bool = True,
        **given: Any,
    ) -> dict[str, Any]:
        """{"result", "logged"}; with `with_key` the address holds it, as `make dev` prints it."""
        if path.startswith("/try") and with_key:
            code = f"await page.waitForSelector('#go:not([disabled])');\n{code}"
        fragment = f"#key={self.world.identities.console_key}" if with_key else ""
        told = {
            "page": f"{self.console}{path}{fragment}",
            "code": code,
            "width": size[0],
            "height": size[1],
            "theme": theme,
            "script": script,
            "shots": str(SCREENSHOTS),
            "given": {
                "console": self.console,
                "api": self.world.url,
                "cos": self.world.emulator.url,
                "bff": self.world.identities.api_key,
                **given,
            },
        }
        outcome = ran("browse.mjs", told, _SECONDS)
        assert "error" not in outcome, outcome
        return outcome


@functools.cache
def unstartable() -> str:
    """Why no browser can be started; empty if one can."""
    told = {"page": "about:blank", "code": "", "width": 9, "height": 9, "theme": "light", "script": True, "given": {}}
    return " ".join(ran("browse.mjs", {**told, "shots": str(SCREENSHOTS)}, _SECONDS).get("error", "").split())[:160]
