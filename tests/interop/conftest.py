"""One real broker, Redis and emulator for all of these tests, and users who hold keys from it.

They need Node and what `package.json` names, so they run only when asked for: `make interop` sets `INTEROP=1`.
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
from tests.interop import chrome
from tests.interop.chrome import Chrome
from tests.interop.javascript import Place, unstartable
from tests.interop.site import site

collect_ignore_glob = [] if os.environ.get("INTEROP") else ["test_*.py"]

POLICIES = Path(__file__).parents[2] / "policies"
SMALL_BYTES = 1000
OURS = {"bucket": "examplebucket-1250000000", "region": "ap-guangzhou"}
PATH = {"path": {"type": "path", "max_length": 256}}
# What the policies that we ship have no reason to hold.
MORE_POLICIES = {
    "papers": {
        **OURS,
        "vends": ["url", "multipart"],
        "methods": ["PUT"],
        "key": "files/{principal.sub}/{path}",
        "inputs": PATH,
        "headers": {"x-cos-forbid-overwrite": {"const": "true"}},
    },
    "large-folder": {
        **OURS,
        "vends": ["credentials", "multipart"],
        "methods": ["PUT"],
        "key": "files/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path"}},
    },
    "my-videos": {**OURS, "vends": ["download-url"], "key": "videos/{principal.sub}/{path}", "inputs": PATH},
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policies that we ship, the user's folder again with a limit easily exceeded, and more."""
    folder = shutil.copytree(POLICIES, tmp_path_factory.mktemp("broker") / "policies")
    small = json.loads((folder / "user-folder.json").read_text(encoding="utf-8"))
    small["content"]["max_bytes"] = SMALL_BYTES
    for name, policy in {"small-folder": small, **MORE_POLICIES}.items():
        (folder / f"{name}.json").write_text(json.dumps(policy), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def _running(folder: Path) -> Iterator[local.World]:
    """Everything runs once."""
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


@pytest.fixture
def node(world: local.World) -> Place:
    """JavaScript in Node, beside a broker that serves alone."""
    return Place("node", world.url, world.url, world.emulator, world.identities)


@pytest.fixture(scope="session")
def _site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with site(folder, tmp_path_factory.mktemp("site")) as place:
        yield place


@pytest.fixture
def chromium(_site: Place) -> Place:
    """JavaScript in a page of a real browser, whose server has a broker mounted at `/storage`."""
    if reason := unstartable():
        pytest.skip(f"no browser can be started here: {reason}")
    _site.emulator.reset()
    return _site


@pytest.fixture(params=["node", "chromium"])
def anywhere(request: pytest.FixtureRequest) -> Place:
    """Each of them."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def _dev(folder: Path) -> Iterator[Chrome]:
    if reason := chrome.unstartable():
        pytest.skip(f"no browser can be started here: {reason}")
    everybody = {"BROKER_ANONYMOUS": "1", "BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": "{}"}
    with local.world(folder, local.free_port(), 0, BROKER_LOG_LEVEL="error", **everybody) as world:
        yield Chrome(world)


@pytest.fixture
def dev(_dev: Chrome) -> Chrome:
    """A browser in front of the console of `make dev`, whose bucket is empty."""
    _dev.world.emulator.reset()
    return _dev
