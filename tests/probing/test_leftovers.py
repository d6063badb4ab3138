"""Uploads that somebody else has begun are left alone; those of a probe are not left behind, whatever happens."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest

from broker.cos import client
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.emulator.faults import Fault
from broker.errors import ConfigurationError, UpstreamError
from broker.probing.hands import CLEANING, FINDING, Hands
from tests.conftest import BUCKET
from tests.probing.conftest import CosDouble, compiled, every_action, whole_bucket

LOST = NoAnswer("no answer of 127.0.0.1 (TimeoutError)")


def listing(*pairs: tuple[str, str]) -> Answer:
    """A list of uploads: (key as it is written in XML, id)."""
    uploads = "".join(f"<Upload><Key>{key}</Key><UploadId>{one}</UploadId></Upload>" for key, one in pairs)
    return Answer(200, {}, "", f"<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>".encode())


def begun(upload_id: str) -> Answer:
    """What tells of a new upload."""
    return Answer(200, {}, "", f"<R><UploadId>{upload_id}</UploadId></R>".encode())


class TestExisting:
    """Real data is not touched."""

    @pytest.mark.parametrize(
        ("route", "key", "given"),
        [
            ("one-in-parts", "once/parts.bin", {}),
            ("redirecting-form", "once/form.txt", {}),
            ("parts", "parts/u1/real", {"key": "parts/u1/real"}),
            ("parts", "parts/u1/real", {"inputs": {"name": "real"}}),
        ],
    )
    def test_object(self, world, route, key, given):
        """A door that would write an object is not opened, and nothing else has been tried by then."""
        world.emulator.as_owner("PUT", key, b"real")
        before = world.emulator.stats()["cos"]
        with pytest.raises(ConfigurationError, match=f"{key} exists"):
            world.probe(route, **given)
        assert (world.told, world.emulator.keys) == ([], [key])
        assert world.emulator.stats()["cos"] == {**before, "HeadObject": 1}

    @pytest.mark.parametrize("route", ["one-in-parts", "redirecting-form"])
    def test_upload(self, world, route):
        """Nor where somebody is uploading the object in parts: nobody could tell whose upload is left in the end."""
        key = {"one-in-parts": "once/parts.bin", "redirecting-form": "once/form.txt"}[route]
        assert world.emulator.as_owner("POST", key, uploads="") == 200
        with pytest.raises(ConfigurationError, match=f"{key} has an unfinished upload"):
            world.probe(route)
        assert (world.told, world.emulator.uploads, world.emulator.keys) == ([], [key], [])

    def test_upload_of_a_longer_key(self, world):
        """Uploads of keys that only begin so are others', and stay."""
        world.emulator.as_owner("POST", "once/parts.bin2", uploads="")
        assert world.probe("one-in-parts") == []
        assert world.emulator.uploads == ["once/parts.bin2"]

    def test_nobody_knows(self, world):
        """Without a look at the uploads nothing is risked."""

        def narrow(statement):
            if statement["action"] == ["name/cos:ListMultipartUploads"]:
                statement["action"] = ["name/cos:GetBucketACL"]

        world.emulator.widen = narrow
        with pytest.raises(ConfigurationError, match=r"nobody uploads once/parts.bin.*403 AccessDenied"):
            world.probe("one-in-parts")
        assert world.emulator.stats()["cos"] == {"HeadObject": 1, "ListMultipartUploads": 1}


class TestTrouble:
    """Failures on the way: told as such, and cleaned up after."""

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_sts_refuses(self, world, nth):
        """Without every credential nothing has been made."""
        issue, asked = world.cloud.issue, []

        def failing(scope):
            asked.append(scope)
            if len(asked) == nth:
                world.emulator.order_fault(Fault("sts", 1, "FailedOperation.Whatever"))
            return issue(scope)

        world.cloud = replace(world.cloud, issue=failing)
        with pytest.raises(UpstreamError):
            world.probe("parts")
        assert set(world.emulator.stats()["cos"]) <= {"HeadObject", "ListMultipartUploads"}

    @pytest.mark.parametrize("route", ["one-in-parts", "small-form"])
    @pytest.mark.parametrize("after", range(2, 27, 3))
    def test_ended_midway(self, world, route, after):
        """Whenever it is ended, what was made is removed; what was under way may have arrived."""
        sent = []

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            sent.append(method)
            if len(sent) == after:
                raise KeyboardInterrupt
            return answer

        def widen(statement):
            whole_bucket(statement)
            every_action(statement)

        world.sending(send)
        world.emulator.widen = widen
        with pytest.raises(KeyboardInterrupt):
            world.probe(route)
        assert (world.emulator.keys, world.emulator.uploads) == ([], [])

    def test_ended_at_the_end(self, world):
        """Who ends a probe while it cleans up does not keep it from that."""
        ended = []

        def send(method, url, headers, body=b"", **options):
            if method == "DELETE" and not ended and "a longer form" in world.told[-1].name:
                ended.append(list(world.emulator.keys))
                raise KeyboardInterrupt
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        world.emulator.widen = whole_bucket
        with pytest.raises(KeyboardInterrupt):
            world.probe("small-form")
        assert [len(keys) for keys in ended] == [3]
        assert (world.emulator.keys, world.emulator.uploads) == ([], [])

    @pytest.mark.parametrize("route", ["one-in-parts", "parts"])
    def test_answer_lost(self, world, route):
        """An upload whose id never came is found by its key, and aborted; others' are left."""
        world.emulator.as_owner("POST", "once/parts.bin2", uploads="")

        def send(method, url, headers, body=b"", **options):
            answer = client.send(method, url, headers, body, **options)
            if method == "POST" and "uploads=" in url and answer.status == 200:
                raise LOST
            return answer

        world.sending(send)
        assert {"inside"} <= set(world.probe(route))
        assert not any(attempt.told for attempt in world.told if not attempt.held)
        [clean_up] = [attempt for attempt in world.told if attempt.name.endswith("clean-up")]
        assert clean_up.held
        assert (world.emulator.keys, world.emulator.uploads) == ([], ["once/parts.bin2"])

    def test_abort_refused(self, world):
        """An upload that could not be removed is named."""

        def send(method, url, headers, body=b"", **options):
            if method == "DELETE" and "uploadId" in url:
                return Answer(403, {}, "AccessDenied")
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        assert "clean-up" in world.probe("one-in-parts")
        [clean_up] = [attempt for attempt in world.told if attempt.name.endswith("clean-up")]
        assert "an upload of once/parts.bin (DELETE got 403 AccessDenied)" in clean_up.line()
        assert (world.emulator.keys, world.emulator.uploads) == ([], ["once/parts.bin"])


class TestHands:
    """What is kept of uploads that may have been begun, and how they are removed."""

    @pytest.fixture
    def cos(self) -> CosDouble:
        """A cloud that is not there."""
        return CosDouble()

    @pytest.fixture
    def hands(self, cos) -> Hands:
        """Hands on one key."""
        return Hands(cos.cloud, compiled(vends=["url"], methods=["GET"], key="a/b"), ["k"], CLEANING, ["k"])

    def watch(self, hands: Hands, answer: Answer | NoAnswer, method: str = "POST", **params: str) -> None:
        """One request of the probe, and what becomes of it."""

        def ask() -> Answer:
            if isinstance(answer, NoAnswer):
                raise answer
            return answer

        request = Request(method, "https://b.com", "k", {"Host": "b.com"}, params or {"uploads": ""})
        with contextlib.suppress(NoAnswer):
            hands.watch(request, ask)

    @pytest.mark.parametrize(
        ("answers", "asked"),
        [
            ([begun("u1")], ["DELETE k u1"]),
            ([begun("u2"), begun("u1")], ["DELETE k u1", "DELETE k u2"]),
            ([LOST], ["GET", "DELETE k u8", "DELETE k u9"]),
            ([Answer(500, {}, "InternalError")], ["GET", "DELETE k u8", "DELETE k u9"]),
            ([Answer(200, {}, "")], ["GET", "DELETE k u8", "DELETE k u9"]),
            ([LOST, begun("u1"), Answer(403, {}, "")], ["GET", "DELETE k u1", "DELETE k u8", "DELETE k u9"]),
            ([begun("u1"), Answer(409, {}, ""), Answer(403, {}, "")], ["DELETE k u1"]),
            ([Answer(403, {}, "AccessDenied")], []),
            ([Answer(405, {}, "MethodNotAllowed")], []),
        ],
    )
    def test_begun(self, cos, hands, answers, asked):
        """What was begun is aborted by its id; what may have been is looked for, by exactly its key."""
        for answer in answers:
            self.watch(hands, answer)
        assert hands.busy is bool(asked)
        cos.script = [listing(("k", "u8"), ("k2", "u7"), ("k&amp;", "u6"), ("k", "u9"))] if "GET" in asked else []
        assert hands.clean() == []
        assert cos.asked == asked
        assert (hands.busy, hands.clean()) == (False, [])

    @pytest.mark.parametrize(
        ("method", "params", "makes"),
        [
            ("PUT", {"partNumber": "1", "uploadId": "u"}, False),
            ("POST", {"uploadId": "u"}, True),
            ("DELETE", {"uploadId": "u"}, False),
            ("GET", {"uploadId": "u"}, False),
        ],
    )
    def test_steps(self, cos, hands, method, params, makes):
        """Only what completes an upload makes an object."""
        self.watch(hands, Answer(200, {}, ""), method, **params)
        assert hands.busy is makes
        assert hands.clean() == []
        assert cos.asked == ["DELETE k"] * makes

    @pytest.mark.parametrize("answer", [LOST, Answer(403, {}, "AccessDenied"), Answer(200, {}, "")])
    def test_not_found(self, cos, hands, answer):
        """Where the list cannot be had, the key is named, and known uploads are aborted all the same."""
        self.watch(hands, begun("u1"))
        self.watch(hands, LOST)
        cos.script = [answer]
        [left] = hands.clean()
        assert left.startswith("an upload of k (GET ?uploads got ")
        assert cos.asked == ["GET", "DELETE k u1"]
        assert hands.busy

    def test_escaped_key(self, cos):
        """A key is compared as it is, not as XML writes it."""
        hands = Hands(cos.cloud, compiled(vends=["url"], methods=["GET"], key="a/b"), ["k&é"], CLEANING, ["k&é"])
        cos.script = [listing(("k&amp;é", "u1"), ("k", "u2"))]
        assert hands.find_uploads("k&é") == ({"u1"}, "200")

    @pytest.mark.parametrize(("actions", "aborts"), [(FINDING, []), (CLEANING, ["name/cos:AbortMultipartUpload"])])
    def test_scope(self, cos, actions, aborts):
        """Uploads are listed by exactly these keys as prefixes, and aborted by whoever cleans up."""
        Hands(cos.cloud, compiled(vends=["url"], methods=["GET"], key="a/b"), ["k/é", "j"], actions, ["k/é"])
        [scope] = cos.scopes
        cleaning, finding = json.loads(scope.document)["statement"]
        assert cleaning["action"] == [*(f"name/cos:{action}" for action in actions), *aborts]
        assert [one.rpartition(":")[2] for one in cleaning["resource"]] == [f"{BUCKET}/j", f"{BUCKET}/k/é"]
        assert finding["action"] == ["name/cos:ListMultipartUploads"]
        assert finding["resource"][0].endswith(f":{BUCKET}/")
        assert finding["condition"] == {"string_equal": {"cos:prefix": ["k%2F%C3%A9"]}}
