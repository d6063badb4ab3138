"""A cloud on a real socket, people to ask with, and the environment that ties a broker to both."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker import logs
from broker.emulator.server import Emulator
from broker.local import AUDIENCE, ISSUER, Identities, inherited

ACCOUNT = ("AKIDTESTACCOUNT00000000000000000000", "PermanentKeyOfTheTests0000000000")
BUCKET = "examplebucket-1250000000"
REPOSITORY = Path(__file__).resolve().parent.parent

# What the repository's own policies have no reason to hold.
ODD_POLICIES = {
    "anything": {
        "vends": ["url", "signature", "download-url"],
        "methods": ["PUT", "GET", "HEAD", "DELETE"],
        "key": "any/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path", "max_length": 256}},
        "headers": {
            "Content-Language": {"enum": ["de", "en"]},
            "x-cos-meta-*": {"pattern": "[a-z0-9-]{1,32}"},
            "Range": {"pattern": "bytes=[0-9]+-[0-9]*"},
        },
        "params": {"mode": {"pattern": "[a-z -]{1,32}"}, "response-content-type": {"enum": ["text/plain"]}},
    },
    "needs": {
        "vends": ["url"],
        "methods": ["PUT"],
        "key": "needs/{principal.sub}/{name}.txt",
        "inputs": {"name": {"pattern": "[a-z]+"}},
        "headers": {"Content-Language": {"enum": ["de", "en"], "required": True}},
        "params": {"page": {"pattern": "[0-9]{1,4}", "required": True}},
    },
    "wide": {
        "vends": ["url"],
        "methods": ["GET"],
        "key": "wide/{principal.sub}/{name}",
        "inputs": {"name": {"pattern": "[a-z]+"}},
        "params": {f"p{index}": {"pattern": "[a-z]*"} for index in range(8)},
        "expires": {"default_seconds": 300, "max_seconds": 900},
    },
    "two-claims": {
        "principals": {"claims": {"role": {"const": "owner"}, "tenant": {"const": "acme"}}},
        "vends": ["url"],
        "methods": ["GET"],
        "key": "tenants/{principal.tenant}/{name}",
        "inputs": {"name": {"pattern": "[a-z]+"}},
    },
}


@pytest.fixture(scope="session")
def cloud() -> Iterator[Emulator]:
    """STS and COS of one account, listening on a free port."""
    with Emulator(ACCOUNT, buckets={BUCKET: "ap-guangzhou"}) as emulator:
        yield emulator


@pytest.fixture
def emulator(cloud: Emulator) -> Emulator:
    """The cloud, with nothing asked of it yet and no failure on order."""
    cloud.reset()
    return cloud


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    """Who may call: an issuer of JWTs and a BFF's API key."""
    return Identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's policies and the odd ones, in one folder."""
    folder = tmp_path_factory.mktemp("policies") / "all"
    shutil.copytree(REPOSITORY / "policies", folder)
    for name, policy in ODD_POLICIES.items():
        whole = {"bucket": BUCKET, "region": "ap-guangzhou", **policy}
        (folder / f"{name}.json").write_text(json.dumps(whole))
    return folder


@pytest.fixture
def environ(cloud: Emulator, identities: Identities, policies: Path) -> dict[str, str]:
    """The variables of a broker with the cloud behind it, JWTs and API keys in front, and no Redis."""
    return {
        "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
        "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
        "BROKER_STS_ENDPOINT": cloud.url,
        "BROKER_COS_ENDPOINT": cloud.url,
        "BROKER_POLICIES": str(policies),
        "BROKER_JWT_JWKS": str(identities.jwks),
        "BROKER_JWT_ISSUER": ISSUER,
        "BROKER_JWT_AUDIENCE": AUDIENCE,
        "BROKER_JWT_ALGORITHMS": "ES256",
        "BROKER_API_KEYS": str(identities.api_keys),
    }


@pytest.fixture
def process_environ(environ: dict[str, str]) -> Callable[..., dict[str, str]]:
    """A whole environment for a process of the broker; None takes a variable away."""

    def make(**changes: str | None) -> dict[str, str]:
        merged = {**inherited(), **environ, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    return make


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """What `logs.configure` does to the process ends with the test."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level = root.level
    yield
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, logs.Handler)]
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
