"""One broker with doors of every kind for a whole module: asks that are refused leave nothing behind in it."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from broker import create_app, logs
from broker.emulator.server import Emulator
from broker.errors import RequestError
from broker.identity.api_keys import new_api_key
from broker.identity.principals import Principal
from broker.local import AUDIENCE, ISSUER, Identities
from broker.settings import Settings
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import Clock
from tests.web.conftest import Door

PLACE = {"bucket": BUCKET, "region": "ap-guangzhou"}
POLICIES: dict[str, dict[str, Any]] = {
    "names": {
        "vends": ["url", "download-url", "signature"],
        "methods": ["GET", "DELETE"],
        "key": "names/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "params": {
            "mode": {"pattern": "[a-z0-9 -]{1,32}"},
            "free": {"pattern": "(?s).*"},
            "size": {"enum": ["small", "large"]},
            "response-content-type": {"const": "text/plain"},
        },
    },
    "files": {
        "vends": ["url", "download-url"],
        "methods": ["GET", "PUT"],
        "key": "files/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path", "max_length": 256}},
        "credential": {"scope": "object"},
    },
    "avatars": {
        "vends": ["url"],
        "methods": ["PUT"],
        "key": "avatars/{principal.sub}/{uuid}.{ext}",
        "inputs": {"ext": {"pattern": "[a-z]{1,8}"}},
        "content": {"types": ["image/png"], "max_bytes": 1000},
        "headers": {
            "Cache-Control": {"const": "no-store"},
            "Content-Language": {"enum": ["de", "en"]},
            "Content-Encoding": {"pattern": "(?s).*"},
            "x-cos-meta-*": {"pattern": "[a-z0-9-]{1,32}"},
        },
    },
    "profile": {"vends": ["url"], "methods": ["GET"], "key": "profiles/{principal.sub}.json"},
    "tenant": {
        "vends": ["url"],
        "methods": ["GET"],
        "key": "tenants/{principal.tenant}/{name}",
        "inputs": {"name": {"pattern": "[a-z]{1,8}"}},
    },
    "team": {
        "vends": ["url"],
        "methods": ["GET"],
        "key": "teams/{principal.team}/{principal.sub}/{name}",
        "inputs": {"name": {"pattern": "[a-z]{1,8}"}},
    },
    "owned": {
        "vends": ["url"],
        "methods": ["PUT"],
        "key": "owned/{principal.sub}/{name}",
        "inputs": {"name": {"pattern": "[a-z]{1,8}"}},
        "headers": {"x-cos-meta-owner": {"const": "{principal.sub}"}},
    },
    "public": {
        "principals": {"anonymous": True},
        "vends": ["download-url"],
        "key": "public/{name}",
        "inputs": {"name": {}},
        "credential": {"scope": "object"},
    },
    "slow": {
        "vends": ["url"],
        "methods": ["GET"],
        "key": "slow/{principal.sub}/{a}-{b}-{c}",
        "inputs": {"a": {"pattern": "(a+)+b?"}, "b": {"pattern": "(.*)*x"}, "c": {"pattern": "(a|a?)+"}},
    },
    "folder": {
        "vends": ["credentials"],
        "methods": ["PUT", "GET"],
        "key": "folder/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path"}},
    },
    "clips": {
        "vends": ["form", "multipart", "confirm"],
        "key": "clips/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "content": {"types": ["video/mp4"], "max_bytes": 20 * 2**20, "part_bytes": 8 * 2**20},
        "headers": {
            "Cache-Control": {"const": "no-store"},
            "Content-Language": {"enum": ["de", "en"]},
            "Content-Encoding": {"pattern": "(?s).*"},
            "x-cos-forbid-overwrite": {"const": "true"},
            "x-cos-meta-*": {"pattern": "[a-z0-9-]{1,32}"},
        },
    },
    "videos": {
        "vends": ["form", "multipart", "confirm"],
        "key": "videos/{principal.sub}/{uuid}.{ext}",
        "inputs": {"ext": {"enum": ["mp4"]}},
    },
}


class Answer(NamedTuple):
    """What came back through a door, whichever: `told` is the detail, then fields and messages of the errors."""

    status: int
    code: str
    told: tuple[str, ...] = ()
    grant: Mapping[str, Any] = MappingProxyType({})


@dataclass
class House(Door):
    """The broker behind all doors, and the keys of some BFFs."""

    keys: Mapping[str, str] = field(default_factory=dict)
    _callers: Iterator[int] = field(default_factory=itertools.count)

    def caller(self) -> str:
        """A name that nobody had before, so that no credential of his is cached."""
        return f"c{next(self._callers)}"

    def http(self, path: str, ask: Any, by: Mapping[str, str], *, body: str | None = None, **sent: Any) -> Answer:
        """An answer over HTTP; `by` are WSGI variables of the identity, `body` is JSON text as it stands."""
        data = json.dumps(ask) if body is None else body
        answer = self.client.post(
            f"/v1/{path}", data=data.encode(), content_type="application/json", environ_overrides=dict(by), **sent
        )
        whole = answer.json
        if answer.status_code == 200:
            return Answer(200, "granted", grant=whole)
        assert (whole["status"], answer.headers["Cache-Control"]) == (answer.status_code, "no-store")
        return refusal(whole)

    def batch(self, route: str, asks: Sequence[Any], by: Mapping[str, str]) -> list[Answer]:
        """An answer to each ask of a batch; to the one ask of a batch that was refused whole, that refusal."""
        whole = self.http(f"{route}/batch", {"asks": asks}, by)
        if whole.status != 200:
            assert len(asks) == 1, whole.told
            return [whole]
        results = whole.grant["results"]
        assert all(one["status"] == one.get("problem", one)["status"] for one in results)
        return [
            Answer(200, "granted", grant=one["grant"]) if "grant" in one else refusal(one["problem"]) for one in results
        ]

    def inside(self, route: str, ask: Mapping[str, Any], claims: Mapping[str, Any]) -> Answer:
        """An answer through the door of an application that hosts the broker and has authenticated somebody."""
        try:
            grant = self.app.extensions["broker"].vend(route, ask, Principal(claims))
        except RequestError as error:
            errors = [text for one in error.errors for text in (one.field, one.message)]
            return Answer(error.status, error.code, (error.detail, *errors))
        told = {name: getattr(grant, name, None) for name in ("key", "url", "headers")}
        return Answer(200, "granted", grant=told)

    def jwt(self, **claims: Any) -> dict[str, str]:
        """The identity of somebody with a JWT."""
        return {"HTTP_AUTHORIZATION": f"Bearer {self.token(**{'sub': self.caller(), **claims})}"}

    def key(self, name: str, principal: str | None = None, claims: str | None = None) -> dict[str, str]:
        """The identity of a BFF; headers as bytes come, which WSGI calls Latin-1."""
        by = {"HTTP_AUTHORIZATION": f"Bearer {self.keys[name]}"}
        if principal is not None:
            by["HTTP_X_PRINCIPAL"] = principal.encode("utf-8", "surrogatepass").decode("latin-1")
        if claims is not None:
            by["HTTP_X_PRINCIPAL_CLAIMS"] = claims.encode("utf-8", "surrogatepass").decode("latin-1")
        return by


def refusal(problem: Mapping[str, Any]) -> Answer:
    """A problem as it comes over HTTP, alone or in a batch."""
    errors = [text for error in problem["errors"] for text in (error["field"], error["message"])]
    return Answer(problem["status"], problem["code"], (problem["detail"], *errors))


def base64url(text: str | bytes) -> str:
    """A text as X-Principal-Claims carries it."""
    data = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture(scope="module")
def built(cloud: Emulator, tmp_path_factory: pytest.TempPathFactory) -> House:
    """One application, with whatever it did to logging undone."""
    folder = tmp_path_factory.mktemp("hostile")
    identities = Identities(folder)
    keys = {
        "any": new_api_key("any", acts_for="(?s).*", claims=["team"]),
        "teams": new_api_key("teams", acts_for="[a-z0-9]{1,32}", claims=["team"]),
        "types": new_api_key("types", acts_for="[a-z0-9]{1,32}", claims=["team"]),
        "alone": new_api_key("alone", sub="robot"),
    }
    entries = [entry for entry, _ in keys.values()]
    for entry in entries[:3]:
        entry["claims"] = {"tenant": "acme"}
    identities.api_keys.write_text(json.dumps({"keys": entries}))
    settings = Settings.from_environ(_environ(cloud, identities, folder / "policies"))
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level, clock = root.level, Clock(int(time.time()))
    app = create_app(settings, clock, clock.monotonic)
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, logs.Handler)]
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    return House(app, settings, clock, identities, cloud, keys={name: secret for name, (_, secret) in keys.items()})


def _environ(cloud: Emulator, identities: Identities, policies: Path) -> dict[str, str]:
    policies.mkdir()
    for name, policy in POLICIES.items():
        (policies / f"{name}.json").write_text(json.dumps({**PLACE, **policy}))
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
        "BROKER_ANONYMOUS": "1",
        "BROKER_STS_BUDGET": "4000",
        "BROKER_LOG_LEVEL": "error",
    }


@pytest.fixture
def house(built: House, emulator: Emulator) -> House:
    """The same, with STS's count at nothing."""
    return built
