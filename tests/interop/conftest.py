"""One real broker, Redis and emulator for all of these tests, and users who hold keys from it.

They need Node and the vendor's Node SDK, so they run only when asked for: `make interop` sets `INTEROP=1`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qcloud_cos import CosConfig, CosS3Client

from broker import local

collect_ignore_glob = [] if os.environ.get("INTEROP") else ["test_*.py"]

POLICIES = Path(__file__).parents[2] / "policies"
SMALL_BYTES = 1000


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.World]:
    """Everything runs once, with the policies that we ship and the user's folder again with a limit easily exceeded."""
    folder = shutil.copytree(POLICIES, tmp_path_factory.mktemp("broker") / "policies")
    small = json.loads((folder / "user-folder.json").read_text(encoding="utf-8"))
    small["content"]["max_bytes"] = SMALL_BYTES
    (folder / "small-folder.json").write_text(json.dumps(small), encoding="utf-8")
    with pytest.MonkeyPatch.context() as environ:
        for name in ("NO_PROXY", "no_proxy"):  # the SDKs obey the proxy variables, and no proxy knows our loopback
            environ.setenv(name, "127.0.0.1,localhost")
        with local.world(folder, local.free_port(), 0, BROKER_LOG_LEVEL="error") as world:
            yield world


@pytest.fixture
def world(_running: local.World) -> local.World:
    """The running world without objects; credentials stay."""
    _running.emulator.reset()
    return _running


@pytest.fixture
def place(world: local.World) -> str:
    """Where the emulator listens, as the SDKs take it: `127.0.0.1:PORT`."""
    return world.emulator.url.removeprefix("http://")


@pytest.fixture
def vend(world: local.World) -> Callable[..., Any]:
    """What the broker grants a BFF for one of its users."""

    def vend(path: str, ask: dict[str, Any] | None = None, user: str = "u1") -> Any:
        headers = {
            "Authorization": f"Bearer {world.identities.api_key}",
            "X-Principal": user,
            "Content-Type": "application/json",
        }
        status, _, body = local.send("POST", f"{world.url}/v1/{path}", headers, json.dumps(ask or {}).encode())
        assert status == 200, body
        return json.loads(body)

    return vend


@pytest.fixture
def sdk(vend: Callable[..., Any], place: str) -> Callable[..., CosS3Client]:
    """The vendor's Python client with a user's temporary keys; `token_of` takes the token from another user's."""

    def sdk(user: str = "u1", route: str = "user-folder", token_of: str = "") -> CosS3Client:
        grant = vend(f"{route}/credentials", user=user)
        keys = grant["credentials"]
        other = vend(f"{route}/credentials", user=token_of or user)["credentials"]
        config = CosConfig(
            Region=grant["region"],
            SecretId=keys["tmpSecretId"],
            SecretKey=keys["tmpSecretKey"],
            Token=other["sessionToken"],
            Scheme="http",
            Domain=place,
        )
        return CosS3Client(config, retry=0)

    return sdk
