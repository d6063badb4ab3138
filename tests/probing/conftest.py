"""A cloud that may be too generous, the routes before it, and a probe of them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.app import system_clock
from broker.cli import main
from broker.cos import client
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request, Signer, Window
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.emulator.server import Emulator
from broker.identity.principals import Principal
from broker.policy import parsing
from broker.policy.checks import check
from broker.policy.limits import Limits
from broker.policy.routes import Route, compile_route
from broker.probing import running
from broker.probing.asking import Given
from broker.probing.cloud import Cloud
from broker.probing.verdicts import Attempt
from broker.settings import Settings
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import NOW

CLAIMS = {"sub": "u1", "scope": "avatars:write folder:keys", "tenant": "acme", "role": "owner"}
U1 = [part for name, value in CLAIMS.items() for part in ("--as", f"{name}={value}")]
SAMPLES = {
    "avatars": {},
    "avatar-download": {},
    "downloads": {},
    "my-files-delete": {},
    "private-files": {},
    "reports": {"month": "2026-01"},
    "user-folder": {},
}
# Its longest video is not sent to see whether a byte more would be taken.
VIDEOS_UNTOLD = {"a longer file", "a longer form"}
PLACE = {"bucket": BUCKET, "region": "ap-guangzhou"}
# What the repository's own policies have no reason to hold.
ODD = {
    "one-object": {"vends": ["url"], "methods": ["GET"], "key": "config/app.json"},
    "one-upload": {
        "vends": ["url", "signature"],
        "methods": ["PUT"],
        "key": "config/new.png",
        "content": {"types": ["image/*"], "max_bytes": 1000},
        "headers": {
            "x-cos-forbid-overwrite": {"const": "true"},
            "x-cos-acl": {"const": "public-read"},
            "Content-Disposition": {"const": "attachment"},
        },
    },
    "shared": {
        "vends": ["url"],
        "methods": ["PUT", "GET"],
        "key": "inbox/{uuid}",
        "content": {"max_bytes": 20_000_000},
        "headers": {"Content-Language": {"enum": ["de", "en"], "required": True}},
        "credential": {"scope": "route", "shared_writes": True},
    },
    "everything": {
        "vends": ["url"],
        "methods": ["PUT", "GET", "HEAD", "DELETE"],
        "key": "any/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path"}},
        "params": {"page": {"pattern": "[0-9]+", "required": True}, "versionId": {"enum": ["v1"]}},
        "headers": {"Range": {"pattern": "bytes=0-[0-9]+"}},
    },
    "list": {
        "vends": ["url", "signature"],
        "methods": ["GET", "HEAD"],
        "key": "/",
        "params": {
            "prefix": {"const": "files/{principal.sub}/"},
            "delimiter": {"const": "/"},
            "max-keys": {"pattern": "[0-9]{1,3}"},
        },
    },
    "small-form": {
        "vends": ["form"],
        "key": "forms/{principal.sub}/{uuid}.png",
        "content": {"types": ["image/*"], "max_bytes": 1000},
        "headers": {
            "x-cos-acl": {"const": "public-read"},
            "Cache-Control": {"const": "no-store"},
            "Content-Disposition": {"const": "attachment"},
        },
    },
    "redirecting-form": {
        "vends": ["form"],
        "key": "once/form.txt",
        "headers": {"success_action_redirect": {"const": "https://a.example/done"}},
    },
    "parts": {
        "vends": ["multipart", "confirm"],
        "key": "parts/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "headers": {"x-cos-acl": {"enum": ["private", "default"]}},
    },
    "confirmations": {"vends": ["confirm"], "key": "parts/{principal.sub}/{name}", "inputs": {"name": {}}},
    "one-in-parts": {
        "vends": ["multipart", "confirm"],
        "key": "once/parts.bin",
        "content": {"types": ["application/zip"], "max_bytes": 5_000_000},
        "headers": {"x-cos-forbid-overwrite": {"const": "true"}},
    },
}


class Generous(Emulator):
    """A cloud whose STS hands out sessions as `widen` makes them: a statement in, a wider one out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(ACCOUNT, buckets={BUCKET: "ap-guangzhou"}, data_dir=folder)
        self.widen: Callable[[dict], None] = lambda statement: None
        self.folder = folder
        issue = self._sessions.issue
        self._sessions.issue = lambda documents, now, until: issue(tuple(map(self._widened, documents)), now, until)

    @property
    def keys(self) -> list[str]:
        """The keys of all objects."""
        return self._keys_of("object")

    @property
    def uploads(self) -> list[str]:
        """The keys of all unfinished uploads."""
        return self._keys_of("upload")

    def _keys_of(self, kind: str) -> list[str]:
        heads = [path.read_bytes().partition(b"\n")[0] for path in self.folder.glob(f"*/*.{kind}")]
        return sorted(json.loads(head)["key"] for head in heads)

    @property
    def secrets(self) -> list[str]:
        """Every secret that STS has handed out."""
        return [one for live in self._sessions.live(0) for one in (live.secret_id, live.secret_key, live.token)]

    def _widened(self, document: dict) -> dict:
        wider = copy.deepcopy(document)
        for statement in wider["statement"]:
            self.widen(statement)
        return wider

    def as_owner(self, method: str, key: str, body: bytes = b"", **params: str) -> int:
        """The status of what the account itself asks."""
        return self.owned(method, key, body, {}, params).status

    def owned(self, method: str, key: str, body: bytes, headers: dict[str, str], params: dict[str, str]) -> Answer:
        """The answer to what the account itself asks."""
        request = Request(method, self.url, key, {"Host": f"127.0.0.1:{self.port}", **headers}, params)
        now = system_clock()
        url = Signer(*ACCOUNT, "").presigned_url(request, Window(now - 60, now + 60))
        return client.send(method, url, headers, body, reads=True)


class World:
    """A cloud, the routes, and a probe of them."""

    def __init__(self, cloud: Generous, environ: dict[str, str]) -> None:
        self.emulator = cloud
        self.environ = environ
        self.catalog, opened = running.opened(Settings.from_environ(environ, serving=False), system_clock)
        self.issued: list[Scope] = []
        self.cloud = replace(
            opened, early_seconds=0.2, issue=lambda scope: self.issued.append(scope) or opened.issue(scope)
        )
        self.told: list[Attempt] = []

    def probe(self, route: str, claims: dict[str, str] = CLAIMS, **given: object) -> list[str]:
        """What is not as promised, by its name without the door and its keys."""
        running.probe(self.catalog.route(route), Principal(claims), Given(**given), self.cloud, self.told.append)
        return [self.short(attempt) for attempt in self.told if not attempt.held]

    def short(self, attempt: Attempt) -> str:
        """The kind of an attempt."""
        return attempt.name.partition(": ")[2].partition(",")[0]

    def sending(self, send: Callable[..., Answer]) -> None:
        """Put something between the probe and COS."""
        self.cloud = replace(self.cloud, send=send)

    def run(self, *arguments: str) -> Result:
        """The verb."""
        result = CliRunner().invoke(main, ["probe", *arguments], env=self.environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result


@pytest.fixture
def world(tmp_path: Path, environ: dict[str, str], policies: Path) -> Iterator[World]:
    """An empty cloud, and the repository's policies and the odd ones before it."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for name in [*SAMPLES, "videos"]:
        (folder / f"{name}.json").write_text((policies / f"{name}.json").read_text())
    for name, policy in ODD.items():
        (folder / f"{name}.json").write_text(json.dumps({**PLACE, **policy}))
    with Generous(tmp_path / "objects") as cloud:
        yield World(
            cloud,
            {
                **environ,
                "BROKER_STS_ENDPOINT": cloud.url,
                "BROKER_COS_ENDPOINT": cloud.url,
                "BROKER_POLICIES": str(folder),
            },
        )


def whole_bucket(statement):
    """For all keys."""
    statement["resource"] = [statement["resource"][0].partition("/")[0] + "/1250000000:" + BUCKET + "/*"]


def no_slash(statement):
    """For all keys that begin so."""
    statement["resource"] = [one.replace("/*", "*") for one in statement["resource"]]


def every_action(statement):
    """For all actions."""
    statement["action"] = ["name/cos:*"]


def unconditional(key):
    """Without the condition on one thing."""

    def widen(statement):
        for operator, keys in list(statement.get("condition", {}).items()):
            keys.pop(key, None)
            if not keys:
                del statement["condition"][operator]

    return widen


def compiled(**policy: object) -> Route:
    """A route of its own."""
    parsed, problems, unsound = parsing.parse({**PLACE, **policy})
    limits = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")
    assert [*problems, *check(parsed, unsound, limits)] == []
    return compile_route("route", parsed, limits)


class CosDouble:
    """A cloud that answers as scripted (200 without a script) and keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[int | Answer | NoAnswer] = []
        self.asked: list[str] = []
        self.scopes: list[Scope] = []
        self.sent: tuple[str, dict[str, str], float] | None = None
        self.cloud = Cloud(self.issue, lambda: NOW, self.send)

    def issue(self, scope: Scope) -> Credential:
        """A credential."""
        self.scopes.append(scope)
        return Credential("AKID", "KEY", "TOKEN", NOW, NOW + 1800, "request")

    def send(self, method, url, headers, body=b"", *, timeout_seconds=None, reads=False) -> Answer:
        """The next answer."""
        self.sent = (url, headers, timeout_seconds)
        version = "".join(re.findall(r"&(?:versionId|uploadId)=([^&]*)", url))
        self.asked.append(f"{method} {url.partition('.com/')[2].partition('?')[0]} {version}".rstrip())
        answer = self.script.pop(0) if self.script else 200
        if isinstance(answer, NoAnswer):
            raise answer
        return answer if isinstance(answer, Answer) else Answer(answer, {}, "")
