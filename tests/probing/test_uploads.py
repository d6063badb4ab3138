"""Forms, multipart uploads and confirmations: what `probe` proves of them, catches, and leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from broker.cos import client
from broker.cos.client import Answer
from broker.errors import ConfigurationError, RequestError
from broker.probing.posting import encoded
from tests.conftest import ACCOUNT
from tests.probing.conftest import (
    U1,
    VIDEOS_UNTOLD,
    World,
    every_action,
    no_slash,
    unconditional,
    whole_bucket,
)

UPLOADS = ["videos", "small-form", "redirecting-form", "parts", "one-in-parts"]
Sender = Callable[..., Answer]


def doors(world: World) -> list[str]:
    """The doors that were tried, in their order."""
    return list(dict.fromkeys(attempt.name.partition(":")[0] for attempt in world.told))


def kinds(world: World, door: str) -> set[str]:
    """The kinds of attempts at one door."""
    return {world.short(attempt) for attempt in world.told if attempt.name.startswith(f"{door}:")}


def assert_nothing_left(world: World) -> None:
    """Neither an object nor an unfinished upload."""
    assert (world.emulator.keys, world.emulator.uploads) == ([], [])


def is_initiate(method: str, url: str) -> bool:
    """Whether a request begins an upload."""
    return method == "POST" and "&uploads=" in url


class TestPromisesKept:
    """A broker and a cloud that do what they say."""

    @pytest.mark.parametrize("route", UPLOADS)
    def test_held(self, world, route):
        """All holds but what cannot be sent, and nothing is left behind."""
        assert set(world.probe(route)) == (VIDEOS_UNTOLD if route == "videos" else set())
        assert_nothing_left(world)
        assert not [attempt for attempt in world.told if attempt.told and not attempt.held]

    def test_every_vend(self, world):
        """Every vend of the sample is tried, each with every kind of attempt."""
        world.probe("videos")
        assert doors(world) == ["multipart", "form", "confirm"]
        credential = {"outside the prefix", "a sibling of the prefix", "listing the bucket", "another method"}
        assert kinds(world, "multipart") == credential | {
            "inside",
            "another type",
            "a longer part",
            "another key",
            "another upload",
            "overwriting",
            "listing the bucket's uploads",
            "another ACL",
            "clean-up",
        }
        assert kinds(world, "form") == credential | {
            "inside",
            "another key",
            "another type",
            "another ACL",
            "without a pinned field",
            "a longer file",
            "a longer form",
            "an upload in parts",
            "Pic-Operations with a foreign fileid",
            "an ACL that is not pinned",
            "clean-up",
        }
        assert kinds(world, "confirm") == credential | {"inside", "another version"}

    def test_every_step(self, world):
        """Each step is done as vended, changed, and tried elsewhere."""
        world.probe("one-in-parts")
        steps = {"initiate", "part", "list", "complete", "abort"}
        for kind, tried in (
            ("inside", steps),
            ("another key", steps - {"initiate"}),
            ("another upload", steps - {"initiate"}),
            ("outside the prefix", steps),
        ):
            names = [one.name.split(", ")[1] for one in world.told if one.name.startswith(f"multipart: {kind}, ")]
            assert sorted(name.split()[0] for name in names) == sorted(tried)

    def test_every_field(self, world):
        """Every field that a form's policy pins is tried: left out, or with another value."""
        world.probe("small-form")
        changed = [
            name
            for name in (one.name.partition(": ")[2] for one in world.told)
            if "field" in name and "Pic-" not in name
        ]
        assert sorted(changed) == [
            "another ACL, the field acl: private",
            "another type, the field Content-Type: text/html",
            "without a pinned field, Cache-Control",
            "without a pinned field, Content-Disposition",
            "without a pinned field, success_action_status",
        ]

    def test_confirmation(self, world):
        """It is the HEAD that the broker sends, of an object that is there as well."""
        sent = []

        def send(method, url, headers, body=b"", **options):
            sent.append((method, headers, options))
            return client.send(method, url, headers, body, **options)

        world.emulator.as_owner("PUT", "parts/u1/mine", b"x")
        world.sending(send)
        world.probe("confirmations", key="parts/u1/mine")
        assert world.told[0].got == "allowed (200)"
        assert ("HEAD", {}, {"timeout_seconds": 3.0}) in sent
        assert world.emulator.keys == ["parts/u1/mine"]

    @pytest.mark.parametrize(("given", "size"), [({}, 1), ({"Content-Length": "5000"}, 5000)])
    def test_size(self, world, given, size):
        """An upload has one byte, or as many as the operator says; both parts have them, and the longer one more."""
        lengths = []

        def send(method, url, headers, body=b"", **options):
            if method == "PUT" and "partNumber" in url:
                lengths.append(len(body))
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert world.probe("one-in-parts", headers=given) == []
        assert {size, size + 1} <= set(lengths)

    @pytest.mark.parametrize(("given", "size"), [({}, 67), ({"Content-Length": "900"}, 900)])
    def test_size_of_a_file(self, world, given, size):
        """The same of a form's file; without a word it is a picture."""
        sizes = []

        def send(method, url, headers, body=b"", **options):
            if headers.get("Content-Type", "").startswith("multipart/form-data"):
                sizes.append(len(re.search(rb"octet-stream\r\n\r\n(.*?)(\r\n--|$)", body, re.DOTALL)[1]))
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert world.probe("small-form", headers=given) == []
        assert sizes[0] == size
        assert 1001 in sizes


def granting(world: World, admits: Callable[[str, str, Answer], bool]) -> Sender:
    """A COS that does for its owner what it would refuse, where it is admitted."""

    def send(method, url, headers, body=b"", **options):
        answer = client.send(method, url, headers, body, **options)
        if not admits(method, url, answer):
            return answer
        parts = urlsplit(url)
        own = dict(parse_qsl(parts.query, keep_blank_values=True))
        params = {name: value for name, value in own.items() if not name.startswith(("q-", "x-cos-security"))}
        kept = {name: value for name, value in headers.items() if name != "Host"}
        return world.emulator.owned(method, unquote(parts.path)[1:], body, kept, params)

    return send


class TestPromisesBroken:
    """Credentials that are wider than the policy says, one width at a time, and a COS that lets something through."""

    @pytest.mark.parametrize(
        ("route", "widen", "caught"),
        [
            ("parts", whole_bucket, {"outside the prefix", "a sibling of the prefix"}),
            ("parts", no_slash, {"a sibling of the prefix"}),
            ("parts", every_action, {"another method"}),
            ("parts", unconditional("cos:x-cos-acl"), {"another ACL"}),
            ("parts", unconditional("cos:versionid"), {"another version"}),
            ("one-in-parts", whole_bucket, {"outside the prefix", "the key with more behind it"}),
            ("one-in-parts", every_action, {"another method"}),
            ("small-form", whole_bucket, {"outside the prefix", "a sibling of the prefix"}),
            ("small-form", no_slash, {"a sibling of the prefix"}),
            ("small-form", every_action, {"another method", "an upload in parts"}),
            ("small-form", unconditional("cos:x-cos-acl"), {"another ACL"}),
            ("small-form", unconditional("cos:content-length"), {"a longer form"}),
            ("confirmations", whole_bucket, {"outside the prefix", "a sibling of the prefix"}),
            ("confirmations", every_action, {"another method"}),
            ("confirmations", unconditional("cos:versionid"), {"another version"}),
        ],
    )
    def test_wide(self, world, route, widen, caught):
        """Exactly what is too wide is told, as allowed, and what it let the probe make is removed."""
        world.emulator.widen = widen
        assert set(world.probe(route)) == caught
        assert all(attempt.told and attempt.expectation == "refused" for attempt in world.told if not attempt.held)
        assert_nothing_left(world)

    def test_listing(self, world):
        """A credential that lists objects or uploads of the bucket is caught."""

        def widen(statement):
            whole_bucket(statement)
            every_action(statement)

        world.emulator.widen = widen
        assert {"listing the bucket", "listing the bucket's uploads"} <= set(world.probe("parts"))
        assert_nothing_left(world)

    def test_signature(self, world):
        """A COS that does not look at signatures is caught at every step, and what it made is removed."""
        world.sending(granting(world, lambda method, url, answer: answer.code == "SignatureDoesNotMatch"))
        caught = set(world.probe("parts"))
        assert {"another key", "another upload", "a longer part"} <= caught
        assert_nothing_left(world)

    @pytest.mark.parametrize(
        ("part", "caught"),
        [("uploads=", "another type"), ("partNumber=", "a longer part")],
    )
    def test_one_signature(self, world, part, caught):
        """The same where it does not look at one of them."""
        looked = []

        def admits(method, url, answer):
            if answer.code == "SignatureDoesNotMatch" and part in url and not looked:
                looked.append(url)
                return True
            return False

        world.sending(granting(world, admits))
        assert caught in world.probe("one-in-parts")
        assert_nothing_left(world)

    def test_abort(self, world):
        """An abort that reaches another upload is caught; what follows it, and can no longer be told, is told so."""
        world.sending(
            granting(world, lambda method, url, answer: method == "DELETE" and answer.code == "SignatureDoesNotMatch")
        )
        missed = world.probe("parts")
        caught = [attempt.name for attempt in world.told if attempt.told and not attempt.held]
        assert len(caught) == 2
        assert all("abort" in name for name in caught)
        assert missed == ["another key", "another upload", "inside"]  # there is nothing to abort any more
        assert_nothing_left(world)

    def test_overwriting(self, world):
        """A COS that completes a second upload onto the object of the first is caught."""

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            return replace(answer, status=200, code="") if method == "POST" and answer.status == 409 else answer

        world.sending(send)
        assert world.probe("one-in-parts") == ["overwriting"]
        assert world.told[-1].held
        assert_nothing_left(world)

    def test_forms(self, world):
        """A COS that takes forms for any key, with any fields and files, is caught, and what it made is removed."""

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            if method == "POST" and urlsplit(url).path == "/" and answer.status in (400, 403):
                key = re.search(rb'name="key"\r\n\r\n(.*?)\r\n', body)[1].decode()
                assert world.emulator.as_owner("PUT", key, b"x") == 200
                return Answer(204, {}, "")
            return answer

        world.sending(send)
        assert set(world.probe("small-form")) == {
            "another key",
            "another type",
            "another ACL",
            "without a pinned field",
            "a longer file",
            "outside the prefix",
            "a sibling of the prefix",
            "a longer form",
        }
        assert_nothing_left(world)

    @pytest.mark.parametrize("where", ["field", "header"])
    def test_picture(self, world, where):
        """A COS that writes what a foreign `fileid` names beside a form is caught, and that object is removed."""

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            text = headers.get("Pic-Operations", "") if where == "header" else body.decode(errors="replace")
            found = re.search(r'"fileid": "/(.*?)"', text)
            if found and answer.status == 204:
                assert world.emulator.as_owner("PUT", found[1], b"x") == 200
            return answer

        world.sending(send)
        assert world.probe("small-form") == ["Pic-Operations with a foreign fileid"]
        [caught] = [attempt for attempt in world.told if not attempt.held]
        assert f"as a {where}" in caught.name
        assert_nothing_left(world)

    @pytest.mark.parametrize(
        ("before", "after", "told"), [(403, 403, None), (403, 200, True), (200, 200, False), (403, 503, False)]
    )
    def test_unnamed_acl(self, world, before, after, told):
        """A COS that obeys an ACL which the form's policy does not name is caught; a bucket for all cannot tell."""
        answers = [before, after]

        def send(method, url, headers, body=b"", **options):
            if method == "HEAD" and "?" not in url:
                return Answer(answers.pop(0), {}, "")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        missed = world.probe("redirecting-form")
        assert missed == ([] if told is None else ["an ACL that is not pinned"])
        assert [attempt.told for attempt in world.told if not attempt.held] == ([] if told is None else [told])
        assert answers == []
        assert_nothing_left(world)

    def test_unnamed_acl_refused(self, world):
        """A COS that refuses a field which the policy does not name keeps the promise as well."""

        def send(method, url, headers, body=b"", **options):
            if b'name="x-cos-acl"' in body:
                return Answer(400, {}, "InvalidArgument")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert world.probe("redirecting-form") == []

    @pytest.mark.parametrize(
        ("route", "needed"), [("small-form", "PostObject"), ("parts", "UploadPart"), ("confirmations", "HeadObject")]
    )
    def test_too_narrow(self, world, route, needed):
        """A credential that does not serve what is vended is no success either."""

        def narrow(statement):
            kept = [action for action in statement["action"] if not action.endswith(needed)]
            statement["action"] = kept or ["name/cos:GetObjectACL"]

        world.emulator.widen = narrow
        assert "inside" in world.probe(route)
        assert_nothing_left(world)


class TestNotDone:
    """What is let through and not done is no success."""

    @pytest.mark.parametrize(
        ("route", "part", "answer"),
        [
            ("parts", "uploads=", Answer(200, {}, "")),
            ("parts", "uploads=", Answer(501, {}, "NotImplemented")),
            ("parts", "uploadId=", Answer(200, {}, "InternalError")),
            ("parts", "uploadId=", Answer(404, {}, "NoSuchUpload")),
            ("small-form", "", Answer(404, {}, "NoSuchKey")),
        ],
    )
    def test_post(self, world, route, part, answer):
        """A step without its result, a success that is none, something that is not there: all cannot be told."""

        def send(method, url, headers, body=b"", **options):
            found = client.send(method, url, headers, body, **options)
            return answer if method == "POST" and part in url and found.status < 300 else found

        world.sending(send)
        assert "inside" in world.probe(route)
        assert not any(attempt.told for attempt in world.told if not attempt.held)
        assert_nothing_left(world)

    def test_overwriting(self, world):
        """Where nothing was completed there is nothing to overwrite."""

        def send(method, url, headers, body=b"", **options):
            if method == "POST" and "uploadId=" in url:
                return Answer(503, {}, "SlowDown")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert "overwriting" in world.probe("one-in-parts")
        [told] = [attempt for attempt in world.told if "overwriting" in attempt.name]
        assert (told.told, told.got) == (False, "nothing there to overwrite")


class TestAsks:
    """What the probe asks for, and what it has to be told."""

    @pytest.mark.parametrize(
        ("route", "given", "field"),
        [
            ("parts", {"params": {"page": "1"}}, "params.page"),
            ("small-form", {"params": {"page": "1"}}, "params.page"),
            ("confirmations", {"headers": {"X-A": "1"}}, "headers.X-A"),
            ("confirmations", {"inputs": {"nome": "x"}}, "inputs.nome"),
            ("one-in-parts", {"headers": {"Content-Length": "2000000"}}, "headers.Content-Length"),
            ("one-in-parts", {"headers": {"Content-Length": "0"}}, "headers.Content-Length"),
            ("small-form", {"headers": {"Content-Length": "x"}}, "headers.Content-Length"),
            ("small-form", {"headers": {"Content-Length": "1001"}}, "headers.Content-Length"),
        ],
    )
    def test_nobody_takes_it(self, world, route, given, field):
        """What no door of the route takes is the operator's mistake, and nothing is asked of anybody."""
        with pytest.raises(ConfigurationError, match=re.escape(field)):
            world.probe(route, **given)
        assert world.emulator.stats() == {"sts": {}, "cos": {}}

    @pytest.mark.parametrize(
        ("route", "given", "code"),
        [
            ("parts", {"key": "parts/u2/x"}, "key_not_allowed"),
            ("confirmations", {"key": "parts/u2/x"}, "key_not_allowed"),
            ("small-form", {"headers": {"X-Odd": "1"}}, "header_not_allowed"),
            ("parts", {"headers": {"x-cos-acl": "public-read"}}, "header_not_allowed"),
            ("one-in-parts", {"headers": {"Content-Type": "image/png"}}, "content_type_not_allowed"),
        ],
    )
    def test_refused_here(self, world, route, given, code):
        """What the broker refuses is not asked of anybody else."""
        with pytest.raises(RequestError) as refused:
            world.probe(route, **given)
        assert refused.value.code == code
        assert world.emulator.stats() == {"sts": {}, "cos": {}}

    def test_given(self, world):
        """Headers and inputs are the operator's where he names them."""
        kept = []

        def send(method, url, headers, body=b"", **options):
            if is_initiate(method, url) and "parts/u1/mine" in url:
                kept.append(headers.get("x-cos-acl"))
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert world.probe("parts", inputs={"name": "mine"}, headers={"x-cos-acl": "private"}) == []
        assert set(kept) == {"private"}


class TestVerb:
    """`python -m broker probe`."""

    def test_videos(self, world):
        """What cannot be told is a line of its own, and the exit code is 1; nothing that could be used is shown."""
        result = world.run("videos", *U1)
        lines = result.stdout.splitlines()
        untold = [line for line in lines if line.startswith("CANNOT BE TOLD ")]
        assert (result.exit_code, result.stderr, len(untold)) == (1, "", 2)
        assert all("bytes are not sent" in line for line in untold)
        assert all(line.startswith("ok  ") for line in lines[:-1] if line not in untold)
        assert lines[-1] == f"{len(lines) - 3} of {len(lines) - 1} as promised"
        for secret in [*world.emulator.secrets, *ACCOUNT, "q-signature"]:
            assert secret not in result.output

    @pytest.mark.parametrize("route", ["small-form", "one-in-parts", "confirmations"])
    def test_kept(self, world, route):
        """With everything told, it is 0."""
        result = world.run(route, *U1)
        assert (result.exit_code, result.stderr) == (0, "")
        assert all(line.startswith("ok  ") for line in result.stdout.splitlines()[:-1])


class TestPosting:
    """A form as a browser sends it."""

    def test_whole(self):
        """Fields in their order, the file last; the length that is declared is the body's."""
        headers, body = encoded({"key": "a/é", "acl": "default"}, b"file", 4)
        boundary = headers["Content-Type"].partition("boundary=")[2]
        assert headers["Content-Length"] == str(len(body))
        assert [part.partition(b"\r\n\r\n")[2] for part in body.split(f"--{boundary}".encode())] == [
            b"",
            "a/é\r\n".encode(),
            b"default\r\n",
            b"file\r\n",
            b"",
        ]
        assert body.endswith(f"--{boundary}--\r\n".encode())

    def test_cut(self):
        """Of a file that is not sent the body ends where it would begin, and the length is the whole one's."""
        whole, body = encoded({"key": "a"}, b"x" * 1000, 1000)
        headers, cut = encoded({"key": "a"}, b"", 1000)
        assert headers["Content-Length"] == whole["Content-Length"] == str(len(body))
        assert cut.endswith(b"octet-stream\r\n\r\n")
