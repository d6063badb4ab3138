"""What `probe` proves, what it catches, and that it leaves nothing behind."""

from __future__ import annotations

import copy
import json
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
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.errors import ConfigurationError, Forbidden, Refused, UpstreamError
from broker.identity.principals import Principal
from broker.probing import running
from broker.probing.doors import Given
from broker.probing.verdicts import Attempt, Verdict, verdict
from broker.settings import Settings
from tests.conftest import ACCOUNT, BUCKET

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
        return sorted(
            json.loads(path.read_bytes().partition(b"\n")[0])["key"] for path in self.folder.glob("*/*.object")
        )

    @property
    def secrets(self) -> list[str]:
        """Every secret that STS has handed out."""
        return [one for live in self._sessions.live(0) for one in (live.secret_id, live.secret_key, live.token)]

    def _widened(self, document: dict) -> dict:
        wider = copy.deepcopy(document)
        for statement in wider["statement"]:
            self.widen(statement)
        return wider

    def as_owner(self, method: str, key: str, body: bytes = b"") -> int:
        """The status of what the account itself asks."""
        request = Request(method, self.url, key, {"Host": f"127.0.0.1:{self.port}"}, {})
        now = system_clock()
        return client.send(
            method, Signer(*ACCOUNT, "").presigned_url(request, Window(now - 60, now + 60)), {}, body
        ).status


class World:
    """A cloud, the routes, and a probe of them."""

    def __init__(self, cloud: Generous, environ: dict[str, str]) -> None:
        self.emulator = cloud
        self.environ = environ
        self.catalog, opened = running.opened(Settings.from_environ(environ, serving=False), system_clock)
        self.cloud = replace(opened, early_seconds=0.2)
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
    for name in SAMPLES:
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


class TestPromisesKept:
    """A broker and a cloud that do what they say."""

    @pytest.mark.parametrize("route", SAMPLES)
    def test_sample(self, world, route):
        """Every sample policy holds, and nothing is left behind."""
        assert world.probe(route, inputs=SAMPLES[route]) == []
        assert len(world.told) >= 9
        assert world.emulator.keys == []

    @pytest.mark.parametrize(
        ("route", "params"),
        [("one-object", {}), ("one-upload", {}), ("shared", {}), ("everything", {"page": "1"})],
    )
    def test_odd(self, world, route, params):
        """So do one object alone, a folder shared by all, required values, and versions that the policy lists."""
        headers = {"Range": "bytes=0-9"} if route == "everything" else {}
        assert world.probe(route, params=params, headers=headers) == []
        assert world.emulator.keys == []

    def test_everything_is_tried(self, world):
        """An upload meets every kind of foreign request, and every vend of the route is probed."""
        world.probe("avatars")
        doors = {attempt.name.partition(":")[0] for attempt in world.told}
        assert doors == {"url PUT", "signature PUT"}
        assert {world.short(attempt) for attempt in world.told} == {
            "inside",
            "overwriting",
            "Pic-Operations with a foreign fileid",
            "a longer body in chunks beside the signed Content-Length",
            "outside the prefix",
            "a sibling of the prefix",
            "listing the bucket",
            "another method",
            "another ACL",
            "another type",
            "a byte more",
            "clean-up",
        }

    def test_existing_object_read(self, world):
        """Reading what exists is allowed, too; a credential for a folder tries its writes beside it."""
        world.emulator.as_owner("PUT", "files/u1/real", b"real")
        assert world.probe("private-files", key="files/u1/real") == []
        assert "allowed (200)" in world.told[0].got
        assert world.emulator.keys == ["files/u1/real"]

    def test_picture_refused(self, world):
        """A COS that refuses the foreign `fileid` keeps the promise as well as one that does nothing."""

        def send(method, url, headers, body=b"", **options):
            if "Pic-Operations" in headers:
                return Answer(403, {}, "AccessDenied")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert world.probe("avatars") == []


PICTURE = "Pic-Operations with a foreign fileid"


def _whole_bucket(statement):
    statement["resource"] = [statement["resource"][0].partition("/")[0] + "/1250000000:" + BUCKET + "/*"]


def _no_slash(statement):
    statement["resource"] = [one.replace("/*", "*") for one in statement["resource"]]


def _every_action(statement):
    statement["action"] = ["name/cos:*"]


def _unconditional(key):
    def widen(statement):
        for operator, keys in list(statement.get("condition", {}).items()):
            keys.pop(key, None)
            if not keys:
                del statement["condition"][operator]

    return widen


class TestPromisesBroken:
    """Credentials that are wider than the policy says, one width at a time."""

    @pytest.mark.parametrize(
        ("route", "widen", "caught"),
        [
            ("avatars", _whole_bucket, {"outside the prefix", "a sibling of the prefix", PICTURE}),
            ("avatars", _no_slash, {"a sibling of the prefix"}),
            ("avatars", _every_action, {"another method"}),
            ("avatars", _unconditional("cos:content-type"), {"another type"}),
            ("avatars", _unconditional("cos:content-length"), {"a byte more"}),
            ("avatars", _unconditional("cos:x-cos-acl"), {"another ACL"}),
            ("user-folder", _no_slash, {"a sibling of the prefix"}),
            ("user-folder", _unconditional("cos:versionid"), {"another version"}),
            ("private-files", _whole_bucket, {"outside the prefix", "a sibling of the prefix"}),
            ("private-files", _unconditional("cos:versionid"), {"another version"}),
            ("my-files-delete", _whole_bucket, {"outside the prefix", "the key with more behind it", "another sub"}),
            ("downloads", _no_slash, {"a sibling of the prefix"}),
            ("one-upload", _every_action, {"another method"}),
        ],
    )
    def test_wide(self, world, route, widen, caught):
        """Exactly what is too wide is told, as allowed, and what it let the probe make is removed."""
        world.emulator.widen = widen
        assert set(world.probe(route)) == caught
        assert all(attempt.told and attempt.expectation == "refused" for attempt in world.told if not attempt.held)
        assert world.emulator.keys == []

    def test_union(self, world):
        """With one statement too wide for all methods, uploads are, too; a body that is too long is not sent to see."""
        world.emulator.widen = _every_action
        assert set(world.probe("user-folder")) == {"another method", "another ACL", "a byte more"}
        [untold] = [attempt for attempt in world.told if not attempt.told]
        assert "104857601 bytes are not sent" in untold.got
        assert world.emulator.keys == []

    def test_listing(self, world):
        """A credential that lists the bucket is caught."""

        def widen(statement):
            _whole_bucket(statement)
            _every_action(statement)

        world.emulator.widen = widen
        assert "listing the bucket" in world.probe("avatar-download")

    def test_too_narrow(self, world):
        """A credential that does not serve the ask is no success either."""
        world.emulator.widen = lambda statement: statement.update(action=["name/cos:HeadObject"])
        assert world.probe("avatar-download")[0] == "inside"

    def test_overwriting(self, world):
        """A COS that lets the same URL overwrite is caught."""
        puts = []

        def send(method, url, headers, body=b"", **options):
            if method == "PUT" and (key := url.partition("?")[0]).startswith(f"{world.emulator.url}/avatars/u1/"):
                if key in puts:
                    return Answer(200, {}, "")
                puts.append(key)
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert "overwriting" in world.probe("avatars")

    def test_picture(self, world):
        """A COS that writes what a foreign `fileid` names is caught, and that object is removed."""

        def send(method, url, headers, body=b"", **options):
            rules = json.loads(headers.pop("Pic-Operations", '{"rules": []}'))["rules"]
            answer = client.send(method, url, headers, body, **options)
            for rule in rules:
                assert world.emulator.as_owner("PUT", rule["fileid"][1:], body) == 200
            return answer

        world.sending(send)
        assert set(world.probe("avatars")) == {"Pic-Operations with a foreign fileid"}
        assert world.emulator.keys == []


class TestExistingObjects:
    """Real data is not touched."""

    @pytest.mark.parametrize(
        ("route", "key", "given"),
        [
            ("my-files-delete", "files/u1/real", {"key": "files/u1/real"}),
            ("everything", "any/u1/real", {"inputs": {"path": "real"}, "params": {"page": "1"}}),
            ("one-upload", "config/new.png", {}),
        ],
    )
    def test_write(self, world, route, key, given):
        """A door that would write or delete an object is not opened, and nothing else has been tried by then."""
        world.emulator.as_owner("PUT", key, b"real")
        before = world.emulator.stats()["cos"]
        with pytest.raises(ConfigurationError, match=f"{key} exists"):
            world.probe(route, **given)
        assert world.told == []
        assert world.emulator.keys == [key]
        assert world.emulator.stats()["cos"] == {**before, "HeadObject": 1}

    def test_read_of_one_object(self, world):
        """Where other methods would meet the object itself they are not tried, and that is no success."""
        world.emulator.as_owner("PUT", "config/app.json", b"real")
        world.emulator.widen = _every_action
        missed = world.probe("one-object")
        assert missed == ["another method"] * 4
        untold = [attempt.name for attempt in world.told if not attempt.told]
        assert [name.rpartition(" ")[2] for name in untold] == ["PUT", "POST", "DELETE"]
        assert world.emulator.keys == ["config/app.json"]
        assert "PutObject" in world.emulator.stats()["cos"]

    @pytest.mark.parametrize("code", ["AccessDenied", "InternalError"])
    def test_nobody_knows(self, world, code):
        """What cannot be told to be absent is not risked."""
        world.emulator.order_fault(Fault("cos", 1, code))
        with pytest.raises(ConfigurationError, match="cannot make sure"):
            world.probe("my-files-delete")
        assert world.emulator.stats()["cos"] == {"HeadObject": 1}


class TestAsks:
    """What the probe asks for, and what it has to be told."""

    def test_input_needed(self, world):
        """An input that the probe's own name does not fit has to be given."""
        with pytest.raises(ConfigurationError, match="--input month=VALUE"):
            world.probe("reports")

    def test_unknown_input(self, world):
        """An input that the route does not have is a mistake, also where the probe makes the key."""
        with pytest.raises(ConfigurationError, match=r"inputs\.exr: is not an input"):
            world.probe("avatar-download", inputs={"exr": "png"})

    @pytest.mark.parametrize(
        ("route", "given", "code"),
        [
            ("avatars", {"key": "avatars/u2/x.png"}, "key_not_allowed"),
            ("avatars", {"headers": {"X-Odd": "1"}}, "header_not_allowed"),
            ("private-files", {"headers": {"X-Odd": "1"}}, "header_not_allowed"),
            ("everything", {}, "param_required"),
        ],
    )
    def test_refused_here(self, world, route, given, code):
        """What the broker refuses is not asked of anybody else."""
        with pytest.raises(Refused) as refused:
            world.probe(route, **given)
        assert refused.value.code == code
        assert world.emulator.stats() == {"sts": {}, "cos": {}}

    def test_missing_claim(self, world):
        """A principal that may not use the route gets the refusal that it would get of the API."""
        with pytest.raises(Forbidden, match="scope"):
            world.probe("avatars", {"sub": "u1"})

    def test_given_content(self, world):
        """Headers of the upload may be chosen, and the body is as long as they say."""
        assert world.probe("avatars", headers={"content-type": "image/webp", "Content-Length": "5000"}) == []

    @pytest.mark.parametrize("length", ["2000000", "-1", "x", "9" * 5000])
    @pytest.mark.parametrize("route", ["avatars", "user-folder"])
    def test_length_that_is_not_sent(self, world, route, length):
        """A length that would really have to be sent is a number, and bounded."""
        with pytest.raises(ConfigurationError, match="Content-Length"):
            world.probe(route, headers={"Content-Length": length})


class TestTrouble:
    """Failures on the way: told as such, and cleaned up after."""

    def test_sts_refuses(self, world):
        """Without a credential nothing has been made."""
        world.emulator.order_fault(Fault("sts", 1, "FailedOperation.Whatever"))
        with pytest.raises(UpstreamError):
            world.probe("avatars")
        assert world.emulator.stats()["cos"] == {}

    @pytest.mark.parametrize("trouble", [Answer(503, {}, "SlowDown"), Answer(403, {}, "RequestTimeTooSkewed"), None])
    def test_no_proof(self, world, trouble):
        """A failure is neither an allowance nor a refusal."""

        def send(method, url, headers, body=b"", **options):
            if method == "GET":
                if trouble is None:
                    raise NoAnswer("no answer of 127.0.0.1 (TimeoutError)")
                return trouble
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        missed = world.probe("avatar-download")
        assert {"inside", "outside the prefix", "listing the bucket"} <= set(missed)
        assert not any(attempt.told for attempt in world.told if not attempt.held)

    @pytest.mark.parametrize("after", range(2, 12))
    def test_ended_midway(self, world, after):
        """Whenever it is ended, what was made is removed; what was under way may have arrived."""
        sent = []

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            sent.append(method)
            if len(sent) == after:
                raise KeyboardInterrupt
            return answer

        world.sending(send)
        world.emulator.widen = _whole_bucket
        with pytest.raises(KeyboardInterrupt):
            world.probe("avatars")
        assert world.emulator.keys == []

    @pytest.mark.parametrize("status", [403, None])
    def test_clean_up_refused(self, world, status):
        """What could not be removed is named."""

        def send(method, url, headers, body=b"", **options):
            if method == "DELETE":
                if status is None:
                    raise NoAnswer("no answer of 127.0.0.1 (TimeoutError)")
                return Answer(status, {}, "AccessDenied")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        missed = world.probe("user-folder")
        assert missed[-1] == "clean-up"
        [key] = world.emulator.keys
        assert key in world.told[-1].line()

    def test_versions(self, world):
        """In a versioned bucket the versions that were made are removed, not hidden behind a marker."""
        made, deleted = [], []

        def send(method, url, headers, body=b"", **options):
            if method == "DELETE" and "versionId=v" in url:
                deleted.append(url.partition("versionId=")[2].partition("&")[0])
                return Answer(world.emulator.as_owner("DELETE", "config/new.png"), {}, "")
            answer = client.send(method, url, headers, body, **options)
            if method == "PUT" and answer.status == 200:
                made.append(f"v{len(made)}")
                return replace(answer, headers={"x-cos-version-id": made[-1]})
            return answer

        world.sending(send)
        assert world.probe("one-upload") == []
        assert len(made) == 2  # one of each door: nothing else was let through
        assert deleted == made


class TestVerb:
    """`python -m broker probe`."""

    @pytest.mark.parametrize("route", ["avatars", "user-folder"])
    def test_kept(self, world, route):
        """A line for each attempt, a summary, exit code 0, and nothing that could be used."""
        result = world.run(route, *U1)
        lines = result.stdout.splitlines()
        assert (result.exit_code, result.stderr) == (0, "")
        assert all(line.startswith("ok  ") for line in lines[:-1])
        assert lines[-1] == f"{len(lines) - 1} of {len(lines) - 1} as promised"
        assert world.emulator.secrets
        for secret in [*world.emulator.secrets, *ACCOUNT, "q-signature"]:
            assert secret not in result.output

    def test_broken(self, world):
        """What is too wide is told, and the exit code is 1."""
        world.emulator.widen = _no_slash
        result = world.run("avatars", *U1)
        assert result.exit_code == 1
        broken = [line for line in result.stdout.splitlines() if line.startswith("NOT AS PROMISED  ")]
        assert len(broken) == 2
        assert all(
            "a sibling of the prefix" in line and "expected refused, got allowed (200)" in line for line in broken
        )
        assert result.stdout.splitlines()[-1] == "28 of 30 as promised"
        assert not any(secret in result.output for secret in world.emulator.secrets)

    def test_json(self, world):
        """The same for programs."""
        world.emulator.widen = _no_slash
        result = world.run("avatar-download", *U1, "--format", "json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["ok"], told["route"]) == (1, False, "avatar-download")
        [broken] = [attempt for attempt in told["attempts"] if not attempt["held"]]
        assert sorted(broken) == ["expectation", "got", "held", "name", "told"]

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["avatars", "--as", "sub=u1"], "error: principal_not_allowed: "),
            (["nope", *U1], "error: route_not_found: "),
            (["reports", *U1], "error: probe: inputs.month: "),
            (["avatars", *U1, "--key", "avatars/u2/x.png"], "error: key_not_allowed: "),
        ],
    )
    def test_refused(self, world, arguments, line):
        """What keeps a probe from starting is one line with its code, and exit code 1."""
        result = world.run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        [told] = result.stderr.splitlines()
        assert told.startswith(line)

    def test_bucket_in_the_host(self, world):
        """An endpoint that names the bucket works, whatever the machine's resolver makes of it."""
        world.environ["BROKER_COS_ENDPOINT"] = f"http://{{bucket}}.localhost:{world.emulator.port}"
        assert world.run("avatar-download", *U1).exit_code == 0

    def test_nobody_listens(self, world):
        """A COS that is not there is told, without the URL."""
        world.environ["BROKER_COS_ENDPOINT"] = "http://127.0.0.1:1"
        result = world.run("private-files", *U1)
        assert result.exit_code == 1
        assert "CANNOT BE TOLD " in result.stdout
        assert "ConnectionRefusedError" in result.stdout
        assert "q-sign" not in result.output


@pytest.mark.parametrize(
    ("method", "status", "code", "expected"),
    [
        ("GET", 200, "", Verdict.ALLOWED),
        ("DELETE", 204, "", Verdict.ALLOWED),
        ("GET", 404, "NoSuchKey", Verdict.ALLOWED),
        ("GET", 404, "NoSuchBucket", Verdict.UNTOLD),
        ("GET", 501, "NotImplemented", Verdict.ALLOWED),
        ("PUT", 409, "FileAlreadyExists", Verdict.ALLOWED),
        ("GET", 403, "AccessDenied", Verdict.REFUSED),
        ("HEAD", 403, "", Verdict.REFUSED),
        ("GET", 403, "", Verdict.UNTOLD),
        ("GET", 403, "SignatureDoesNotMatch", Verdict.UNTOLD),
        ("GET", 403, "InvalidAccessKeyId", Verdict.UNTOLD),
        ("PUT", 400, "InvalidArgument", Verdict.UNTOLD),
        ("POST", 405, "MethodNotAllowed", Verdict.UNTOLD),
        ("GET", 301, "", Verdict.UNTOLD),
        ("GET", 500, "InternalError", Verdict.UNTOLD),
        ("GET", 503, "SlowDown", Verdict.UNTOLD),
    ],
)
def test_verdict(method, status, code, expected):
    """Only COS's own words about permission prove anything."""
    assert verdict(method, Answer(status, {}, code)) is expected


def test_other_ways_to_say_no():
    """A status that says no of an attempt does so there alone."""
    assert verdict("POST", Answer(405, {}, "MethodNotAllowed"), frozenset({405})) is Verdict.REFUSED
