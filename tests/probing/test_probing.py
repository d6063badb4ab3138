"""What `probe` proves, what it catches, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest

from broker.cos import client
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.emulator.faults import Fault
from broker.errors import ConfigurationError, Forbidden, Refused, UpstreamError
from broker.identity.principals import Principal
from broker.probing.asking import PICTURE as PICTURE_BYTES
from broker.probing.asking import Given
from broker.probing.attempts import foreign
from broker.probing.doors import doors
from broker.probing.foreign import Foreign
from broker.probing.hands import CLEANING, FINDING, Hands
from broker.probing.verdicts import Verdict, verdict
from broker.probing.work import content
from tests.conftest import ACCOUNT
from tests.doubles import NOW
from tests.probing.conftest import (
    CLAIMS,
    SAMPLES,
    U1,
    CosDouble,
    compiled,
    every_action,
    no_slash,
    unconditional,
    whole_bucket,
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

    def test_one_credential_for_two_doors(self, world):
        """Doors with one scope share a credential; each has one more for finding and one for cleaning up."""
        world.probe("avatars")
        assert [attempt.name.partition(":")[0] for attempt in world.told if "inside" in attempt.name] == [
            "url PUT",
            "signature PUT",
        ]
        assert len(world.issued) == len(set(world.issued))

    def test_clean_up_reaches_what_may_be_made(self, world):
        """The credential that deletes is for the keys that an attempt might write, and for no other."""
        world.probe("private-files")
        statements = [json.loads(scope.document)["statement"][0] for scope in world.issued]
        keys = [one["resource"] for one in statements if "name/cos:DeleteObject" in one["action"]]
        assert [len(one) for one in keys] == [1] * len(keys)
        assert all("/files/u1/cos-broker-probe-" in resource for [resource] in keys)

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


class TestPromisesBroken:
    """Credentials that are wider than the policy says, one width at a time."""

    @pytest.mark.parametrize(
        ("route", "widen", "caught"),
        [
            ("avatars", whole_bucket, {"outside the prefix", "a sibling of the prefix", PICTURE}),
            ("avatars", no_slash, {"a sibling of the prefix"}),
            ("avatars", every_action, {"another method"}),
            ("avatars", unconditional("cos:content-type"), {"another type"}),
            ("avatars", unconditional("cos:content-length"), {"a byte more"}),
            ("avatars", unconditional("cos:x-cos-acl"), {"another ACL"}),
            ("user-folder", no_slash, {"a sibling of the prefix"}),
            ("user-folder", unconditional("cos:versionid"), {"another version"}),
            ("private-files", whole_bucket, {"outside the prefix", "a sibling of the prefix"}),
            ("private-files", unconditional("cos:versionid"), {"another version"}),
            ("my-files-delete", whole_bucket, {"outside the prefix", "the key with more behind it", "another sub"}),
            ("downloads", no_slash, {"a sibling of the prefix"}),
            ("one-upload", every_action, {"another method"}),
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
        world.emulator.widen = every_action
        assert set(world.probe("user-folder")) == {"another method", "another ACL", "a byte more"}
        [untold] = [attempt for attempt in world.told if not attempt.told]
        assert "104857601 bytes are not sent" in untold.got
        assert world.emulator.keys == []

    def test_listing(self, world):
        """A credential that lists the bucket is caught."""

        def widen(statement):
            whole_bucket(statement)
            every_action(statement)

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
        world.emulator.widen = every_action
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


VERSION = "MTg0NDUwNDcxOTY4NzQ3OTg5NzE"


class TestHands:
    """What is kept of what may have been made, and how it is removed."""

    @pytest.fixture
    def cos(self) -> CosDouble:
        """A cloud that is not there."""
        return CosDouble()

    @pytest.fixture
    def hands(self, cos) -> Hands:
        """Hands on two keys."""
        return Hands(cos.cloud, compiled(vends=["url"], methods=["GET"], key="a/b"), ["k", "j", "k"], FINDING)

    def request(self, method: str, key: str = "k") -> Request:
        """A request of the probe."""
        return Request(method, "https://b.com", key, {"Host": "b.com", "x-a": "1"}, {})

    @pytest.mark.parametrize(
        ("method", "answer", "busy"),
        [
            ("PUT", 200, True),
            ("POST", 200, True),
            ("PUT", 409, True),
            ("PUT", 500, True),
            ("PUT", NoAnswer("no answer"), True),
            ("PUT", 403, False),
            ("POST", 405, False),
            ("GET", 200, False),
            ("DELETE", 204, False),
            ("DELETE", Answer(204, {"x-cos-version-id": "v"}, ""), True),
            ("DELETE", Answer(403, {"x-cos-version-id": "v"}, ""), False),
            ("GET", Answer(200, {"x-cos-version-id": "v"}, ""), False),
        ],
    )
    def test_watched(self, cos, hands, method, answer, busy):
        """What may have made something is remembered; a refusal, or reading, makes nothing."""
        cos.script = [answer]
        request = self.request(method)
        with contextlib.suppress(NoAnswer):
            hands.watch(request, lambda: cos.cloud.ask(request, cos.issue(cos.scopes[0])))
        assert hands.busy is busy

    def test_refused_after_all(self, cos, hands):
        """A refusal says nothing of what was made before."""
        hands.watch(self.request("PUT"), lambda: Answer(200, {}, ""))
        hands.watch(self.request("PUT"), lambda: Answer(403, {}, "AccessDenied"))
        assert hands.clean() == []
        assert (cos.asked, hands.busy, hands.clean()) == (["DELETE k"], False, [])

    def test_versions(self, cos, hands):
        """Versions are deleted each by its name, markers of deletions, too; never by one more marker."""
        for method, version in (("PUT", "v2"), ("PUT", "v1"), ("DELETE", "v3")):
            answer = Answer(200, {"x-cos-version-id": version}, "")
            hands.watch(self.request(method), lambda answer=answer: answer)
        assert hands.clean() == []
        assert cos.asked == ["DELETE k v1", "DELETE k v2", "DELETE k v3"]

    @pytest.mark.parametrize(
        ("script", "left"),
        [
            ([200], []),
            ([204], []),
            ([404], []),
            ([NoAnswer("no answer"), 204], []),
            ([503, 404], []),
            ([NoAnswer("no answer"), Answer(503, {}, "SlowDown")], ["k (DELETE got 503 SlowDown)"]),
            ([403, NoAnswer("no answer")], ["k (no answer)"]),
        ],
    )
    def test_second_try(self, cos, hands, script, left):
        """What fails is tried once more; then the key is named with the last reason, and tried again when asked."""
        hands.suspect("k")
        cos.script = list(script)
        assert (hands.clean(), hands.busy) == (left, bool(left))
        assert cos.asked == ["DELETE k"] * len(script)

    @pytest.mark.parametrize(
        ("answer", "exists"), [(200, True), (404, False), (403, None), (503, None), (NoAnswer("no answer"), None)]
    )
    def test_find(self, cos, hands, answer, exists):
        """Whether an object exists is known from 200 and 404 alone."""
        cos.script = [answer]
        assert hands.find("k")[0] is exists
        assert cos.asked == ["HEAD k"]

    def test_signed(self, cos, hands):
        """Requests are signed for a minute, from a minute ago; what is added is sent beside what is signed."""
        cos.cloud.ask(self.request("PUT"), cos.issue(cos.scopes[0]), b"", {"x-a": "2", "x-b": "3"}, 0.5)
        url, headers, timeout_seconds = cos.sent
        assert f"q-sign-time={NOW - 60}%3B{NOW + 60}" in url
        assert "q-header-list=host%3Bx-a&" in url
        assert (headers, timeout_seconds) == ({"Host": "b.com", "x-a": "2", "x-b": "3"}, 0.5)

    @pytest.mark.parametrize(("duration", "seconds"), [(1799, 1799), (1801, 1800)])
    def test_scope(self, cos, duration, seconds):
        """Its credential is for these keys and actions, by the route's role, for half an hour at most."""
        terms = {"duration_seconds": duration, "role_arn": "qcs::cam::uin/1:roleName/r", "external_id": "abc"}
        route = compiled(vends=["url"], methods=["GET"], key="a/b", credential=terms)
        Hands(cos.cloud, route, ["k", "j", "k"], CLEANING)
        [scope] = cos.scopes
        [statement] = json.loads(scope.document)["statement"]
        assert [one.rpartition("/")[2] for one in statement["resource"]] == ["j", "k"]
        assert statement["action"] == ["name/cos:HeadObject", "name/cos:DeleteObject"]
        assert (scope.duration_seconds, scope.role_arn, scope.external_id) == (
            seconds,
            "qcs::cam::uin/1:roleName/r",
            "abc",
        )


class TestDoors:
    """The ways in, and what each is tried with."""

    @pytest.mark.parametrize(
        ("headers", "sent"),
        [
            ({}, PICTURE_BYTES),
            ({"Content-Length": "3"}, PICTURE_BYTES[:3]),
            ({"content-length": "100"}, PICTURE_BYTES + bytes(100 - len(PICTURE_BYTES))),
        ],
    )
    def test_content(self, headers, sent):
        """An upload sends as many bytes as it declares, of a picture as far as it goes."""
        assert content(Request("PUT", "https://b.com", "k", headers, {})) == sent

    @pytest.mark.parametrize(
        ("rules", "given"), [({}, {}), ({"x-cos-meta-*": {"pattern": "[0-9]"}}, {"x-cos-meta-b": "2"})]
    )
    def test_given_headers(self, rules, given):
        """What the operator says of uploads is for uploads: other doors leave it out and open all the same."""
        headers = {"X-A": {"pattern": "[0-9]"}, **rules}
        route = compiled(vends=["url"], methods=["PUT", "GET"], key="a/b", content={"max_bytes": 9}, headers=headers)
        given = {"x-a": "1", "content-length": "5", **given}
        upload, download = doors(route, {}, Given(headers=given), NOW)
        assert {name.lower() for name in upload.permitted["PUT"].headers} == {"host", *given}
        assert set(download.permitted["GET"].headers) == {"Host"}

    def test_headers_of_keys(self):
        """With keys, too, what content needs is sent with uploads alone."""
        terms = {"key": "k/{principal.sub}/{path}", "inputs": {"path": {"type": "path"}}, "content": {"max_bytes": 9}}
        [door] = doors(compiled(vends=["credentials"], methods=["PUT", "GET"], **terms), {"sub": "u1"}, Given(), NOW)
        sent = {method: sorted(request.headers) for method, request in door.permitted.items()}
        assert sent == {"PUT": ["Content-Length", "Host"], "GET": ["Host"]}

    def test_longest_content(self):
        """A length of exactly a MiB is sent; one byte more is not."""
        route = compiled(vends=["url"], methods=["PUT"], key="a/b", content={"max_bytes": 2_000_000})
        [door] = doors(route, {}, Given(headers={"Content-Length": "1048576"}), NOW)
        assert len(content(door.permitted["PUT"])) == 1048576
        with pytest.raises(ConfigurationError, match="at most 1048576"):
            doors(route, {}, Given(headers={"Content-Length": "1048577"}), NOW)

    @pytest.mark.parametrize(
        ("methods", "writes"),
        [(["GET", "HEAD"], False), (["GET", "PUT"], True), (["DELETE"], True), (["POST"], True)],
    )
    def test_writes(self, methods, writes):
        """Which doors may change objects; and a link lives as long as the policy lets it."""
        found = doors(compiled(vends=["url"], methods=methods, key="a/b"), {}, Given(), NOW)
        assert any(door.writes for door in found) is writes
        assert {door.order.expires_in for door in found} == {900}

    @pytest.mark.parametrize(
        ("types", "declared"),
        [
            (["image/png", "audio/*"], "image/png"),
            (["image/*"], "image/png"),
            (["audio/*"], "audio/x-cos-broker-probe"),
            (["font/*", "image/png"], "font/x-cos-broker-probe"),
        ],
    )
    def test_type(self, types, declared):
        """The first type that the policy admits, of a range one that nobody has."""
        headers = {"Content-Disposition": {"const": "attachment"}}
        route = compiled(vends=["url"], methods=["PUT"], key="a/b", content={"types": types}, headers=headers)
        [door] = doors(route, {}, Given(), NOW)
        assert door.permitted["PUT"].headers["Content-Type"] == declared

    def test_required(self):
        """Of every list that must be given the first value is, unless the operator has given another."""
        rule = {"enum": ["1", "2"], "required": True}
        terms = {"headers": {"X-A": rule, "X-B": rule}, "params": {"pageSize": rule}, "credential": {"scope": "object"}}
        route = compiled(vends=["url"], methods=["PUT"], key="a/{name}", inputs={"name": {"enum": ["x", "y"]}}, **terms)
        [door] = doors(route, {}, Given(headers={"x-b": "2"}), NOW)
        request = door.permitted["PUT"]
        sent = {name.lower(): value for name, value in request.headers.items()}
        assert (sent["x-a"], sent["x-b"], request.params, request.key) == ("1", "2", {"pageSize": "1"}, "a/x")


class TestForeign:
    """Everything foreign that is tried, as data: T stands for what the probe makes up."""

    def tried(self, **policy: object) -> list[list[str]]:
        """What each attempt of each door sends: method, key, and what else it carries beside Host."""
        route = compiled(**policy)
        claims = route.admit(Principal(CLAIMS))
        return [
            [self.line(one).replace(door.token, "T") for one in foreign(route, claims, door)]
            for door in doors(route, claims, Given(), NOW)
        ]

    def line(self, one: Foreign) -> str:
        """An attempt as a line: `no` are the statuses that refuse it beside 403."""
        carried = {**one.request.params, **one.request.headers}
        sent = [f"{name}={value}" for name, value in carried.items() if name != "Host"]
        no = [f"no={status}" for status in sorted(one.refusals)]
        return " ".join([one.request.method, one.request.key or "-", *sent, *no, *["lengthy"] * one.lengthy])

    def test_folder_of_a_principal(self):
        """Beside the folder, another principal's, the bucket, versions and methods; those inside go to a spare key."""
        key = "t/{principal.tenant}/{principal.sub}/files/{name}"
        assert self.tried(vends=["url"], methods=["GET"], key=key, inputs={"name": {}}) == [
            [
                "GET T",
                "GET t/acme/u1/files0-T/x",
                "GET t/acme/u10-T/files/x",
                "GET - prefix=t/acme/u1/files/ max-keys=1 no=405",
                f"GET t/acme/u1/files/T-2 versionId={VERSION}",
                "PUT t/acme/u1/files/T-2 no=405",
                "POST t/acme/u1/files/T-2 no=405",
                "DELETE t/acme/u1/files/T-2 no=405",
                "HEAD t/acme/u1/files/T-2 no=405",
            ]
        ]

    def test_one_object(self):
        """A key with more behind it, another principal's object; a version that the policy lists is not another one."""
        versions = {"versionId": {"enum": ["v1"], "required": True}}
        [[*tried]] = self.tried(vends=["url"], methods=["DELETE"], key="o/{principal.sub}", params=versions)
        assert tried[:4] == [
            "DELETE T versionId=v1",
            "DELETE o/u10-T versionId=v1",
            "GET - prefix=o/u1 max-keys=1 no=405",
            f"DELETE o/u1 versionId={VERSION}",
        ]

    @pytest.mark.parametrize(
        ("rule", "tried"), [({"pattern": "[a-z]+"}, []), ({"enum": ["v1"]}, [f"GET a/b/u1 versionId={VERSION}"])]
    )
    def test_versions(self, rule, tried):
        """Versions that the policy leaves open are not tried; a key ends in the principal without a folder."""
        terms = {"inputs": {"name": {"enum": ["b"]}}, "credential": {"scope": "object"}, "params": {"versionId": rule}}
        [[*found]] = self.tried(vends=["url"], methods=["GET"], key="a/{name}/{principal.sub}", **terms)
        assert found[:-4] == ["GET T", "GET a/b/u10-T", "GET - prefix=a/b/u1 max-keys=1 no=405", *tried]

    def test_versions_of_a_confirmation(self):
        """What the policy leaves open is open to its methods; a confirmation is of the newest version."""
        terms = {"credential": {"scope": "object"}, "params": {"versionId": {"pattern": "[a-z]+"}}}
        link, confirmation = self.tried(vends=["url", "confirm"], methods=["GET"], key="o/{principal.sub}", **terms)
        assert not [line for line in link if "versionId" in line]
        assert f"HEAD o/u1 versionId={VERSION}" in confirmation

    def test_folder_of_all(self):
        """Where one credential is for all, another principal's folder is inside: only the URL keeps them apart."""
        terms = {"key": "r/{principal.sub}/{name}", "inputs": {"name": {}}, "credential": {"scope": "route"}}
        [[*found]] = self.tried(vends=["url"], methods=["HEAD"], **terms)
        assert found[:4] == [
            "HEAD T",
            "HEAD r0-T/x",
            "GET - prefix=r/ max-keys=1 no=405",
            f"HEAD r/T-2 versionId={VERSION}",
        ]

    def test_another_object_of_somebody(self):
        """An object that is named after a principal has a neighbour of that name."""
        terms = {"key": "o/{principal.sub}/x", "credential": {"scope": "object"}}
        [[*found]] = self.tried(vends=["url"], methods=["GET"], **terms)
        assert found[:3] == ["GET T", "GET o/u1/x0-T", "GET o/u10-T/x"]

    def test_upload(self):
        """An upload is tried with one thing changed at a time; POST carries the same headers."""
        content = {"types": ["texture/x", "application/*"], "max_bytes": 50}
        headers = {
            "X-Cos-Acl": {"const": "public-read"},
            "content-disposition": {"const": "attachment"},
        }
        terms = {"key": "u/{principal.sub}/{name}", "inputs": {"name": {}}, "content": content, "headers": headers}
        rest = "X-Cos-Acl=public-read content-disposition=attachment"
        [[*found]] = self.tried(vends=["url"], methods=["PUT"], **terms)
        assert [sorted(line.split()) for line in found[3:]] == [
            sorted(line.split())
            for line in (
                f"POST u/u1/T-2 Content-Length=50 Content-Type=texture/x {rest} no=405",
                "GET u/u1/T-2 no=405",
                "DELETE u/u1/T-2 no=405",
                "HEAD u/u1/T-2 no=405",
                "PUT u/u1/T-2 Content-Length=50 Content-Type=texture/x x-cos-acl=private "
                "content-disposition=attachment",
                f"PUT u/u1/T-2 Content-Length=50 Content-Type=text/html {rest}",
                f"PUT u/u1/T-2 Content-Length=51 Content-Type=texture/x {rest} lengthy",
            )
        ]

    @pytest.mark.parametrize(
        ("types", "other"),
        [
            (["image/png", "tex/*"], "text/html"),
            (["text/*"], "application/x-cos-broker-probe"),
            (["text/html", "application/*"], "x-cos-broker/probe"),
        ],
    )
    def test_another_type(self, types, other):
        """The other type is one that the policy does not admit."""
        terms = {
            "key": "u/{principal.sub}/{name}",
            "inputs": {"name": {}},
            "content": {"types": types},
            "headers": {"Content-Disposition": {"const": "attachment"}},
        }
        [[*found]] = self.tried(vends=["url"], methods=["PUT"], **terms)
        assert f"Content-Type={other}" in found[-1]

    @pytest.mark.parametrize(
        ("rule", "other"),
        [
            (None, ["x-cos-acl=public-read"]),
            ({"enum": ["public-read"]}, ["x-cos-acl=private"]),
            ({"enum": ["private"]}, ["x-cos-acl=public-read"]),
            ({"enum": ["private", "public-read"]}, []),
        ],
    )
    def test_keys(self, rule, other):
        """Handed-out keys are tried elsewhere with each of their methods, and with an ACL that the policy lacks."""
        terms = {
            "key": "k/{principal.sub}/{path}",
            "inputs": {"path": {"type": "path"}},
            "headers": {} if rule is None else {"x-cos-acl": rule},
        }
        [[*found]] = self.tried(vends=["credentials"], methods=["PUT", "GET"], **terms)
        assert [line.split()[:2] for line in found[:6]] == [
            [method, key] for key in ("T", "k/u10-T/x") for method in ("PUT", "GET")
        ] + [["GET", "-"], ["GET", "k/u1/T-2"]]
        assert [part for line in found for part in line.split() if part.startswith("x-cos-acl")] == other


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
        world.emulator.widen = whole_bucket
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
        world.emulator.widen = no_slash
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
        world.emulator.widen = no_slash
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
        ("GET", 300, "", Verdict.UNTOLD),
        ("GET", 304, "", Verdict.ALLOWED),
        ("GET", 412, "PreconditionFailed", Verdict.ALLOWED),
        ("GET", 416, "InvalidRange", Verdict.ALLOWED),
        ("HEAD", 403, "SignatureDoesNotMatch", Verdict.UNTOLD),
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
    assert verdict(Request(method, "https://b.com", "k", {}, {}), Answer(status, {}, code)) is expected


def test_other_ways_to_say_no():
    """A status that says no of an attempt does so there alone."""
    request = Request("POST", "https://b.com", "k", {}, {})
    assert verdict(request, Answer(405, {}, "MethodNotAllowed"), frozenset({405})) is Verdict.REFUSED
    assert verdict(request, Answer(403, {}, "SignatureDoesNotMatch"), frozenset({"SignatureDoesNotMatch"})) is (
        Verdict.REFUSED
    )
