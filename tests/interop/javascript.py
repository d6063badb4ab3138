"""JavaScript at work beside a broker: in Node, or in a page of a real Chromium."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker import local
from broker.emulator.server import Emulator

HERE = Path(__file__).parent
# The browser unpacks itself where temporary files go; it stays with the packages.
_CACHE = HERE / "node_modules" / ".cache"
_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Place:
    """Where code runs ("node" or "chromium"), the page (in Node the broker), where the API lies, what is behind it."""

    where: str
    page: str
    api: str
    emulator: Emulator
    identities: local.Identities

    def token(self, user: str = "u1") -> str:
        """A user's JWT."""
        return self.identities.token(user, int(time.time()))

    def run(self, code: str, **given: Any) -> Any:
        """What the body of an async function returns; it knows `client` (our module), `given`, `told` and `bytes`."""
        return self.observe(code, **given).get("result")

    def observe(self, code: str, drive: str = "", path: str = "/", **given: Any) -> dict[str, Any]:
        """{"result", "logged"}: what `code` returns, and what was written to the console.

        `drive` is for Chromium alone: code that runs beside the browser instead, and knows its `page`.
        """
        told = {
            "where": self.where,
            "page": self.page + path if self.where == "chromium" else "",
            "code": code,
            "drive": drive,
            "given": {"api": self.api, "token": self.token(), "cos": self.emulator.url, **given},
        }
        outcome = ran("run.mjs", told, _SECONDS)
        assert "error" not in outcome, outcome
        return outcome

    def fetched(self, route: str, key: str) -> bytes:
        """An object, by a link of the broker."""
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        ask = json.dumps({"key": key}).encode()
        status, _, body = local.send("POST", f"{self.api}/v1/{route}/download-url", headers, ask)
        assert status == 200, body
        status, _, body = local.send("GET", json.loads(body)["url"], {})
        assert status == 200, body
        return body

    def asked(self, action: str) -> int:
        """How often COS was asked for an action."""
        return self.emulator.stats()["cos"].get(action, 0)


def bundle(code: str) -> str:
    """A module, with everything that it imports, for a browser."""
    command = [HERE / "node_modules" / ".bin" / "esbuild", "--bundle", "--format=esm", "--log-level=error"]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=True, cwd=HERE, timeout=_SECONDS)
    return done.stdout


@functools.cache
def unstartable() -> str:
    """Why no browser can be started; empty if one can."""
    told = {"where": "chromium", "page": "about:blank", "code": "", "drive": "return 1", "given": {}}
    return " ".join(ran("run.mjs", told, _SECONDS).get("error", "").split())[:160]


def ran(script: str, told: dict[str, Any], seconds: int) -> dict[str, Any]:
    """What a script of ours prints when it is told something, both as JSON; it may start a browser."""
    _CACHE.mkdir(exist_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        ["node", HERE / script],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds,
        env={**environ, "TMPDIR": str(_CACHE)},
    )
    return json.loads(done.stdout)
