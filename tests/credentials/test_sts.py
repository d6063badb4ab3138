"""STS through the official SDK: the emulator where it answers well, a small server where it does not."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from broker.cos import cam
from broker.cos.signing import Request, Window
from broker.credentials.credential import Credential
from broker.credentials.issuing import Issuer
from broker.credentials.refusals import Refusal
from broker.credentials.scope import Scope
from broker.credentials.sts import source_key
from broker.credentials.timekeeping import Timekeeper
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.errors import UpstreamError, UpstreamUnavailable
from broker.local import free_port, send
from tests.doubles import NOW, Clock, Deaf

SOURCE = ("AKIDSOURCE0000000000", "SOURCEKEY00000000000")
BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
ROLE = "qcs::cam::uin/100000000001:roleName/uploader"
SECRETS = (SOURCE[1], "TmpSecretKey", "SECRETKEY1", "TOKEN1")
WHOLE = {
    "Credentials": {"TmpSecretId": "AKID1", "TmpSecretKey": "SECRETKEY1", "Token": "TOKEN1"},
    "ExpiredTime": 1_700_001_800,
    "RequestId": "request-1",
}


def document(key: str, *actions: str) -> str:
    """A CAM document on one resource."""
    names = [f"name/cos:{action}" for action in actions]
    return cam.compact(cam.document([cam.statement(names, [cam.resource(REGION, BUCKET, key)], {})]))


class Answers:
    """An STS that answers whatever it is told and keeps the calls."""

    def __init__(self) -> None:
        self.body: bytes | dict = {"Response": WHOLE}
        self.content_type = "application/json"
        self.status = 200
        self.missing = 0  # bytes promised and not sent
        self.date: float | None = NOW  # None: no such header
        self.drip_seconds = 0.0
        self.drips_headers = False
        self.stopped = threading.Event()
        self.calls: list[tuple[str, dict]] = []
        self.timestamps: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.calls.append((self.headers["X-TC-Action"], asked))
                outer.timestamps.append(int(self.headers["X-TC-Timestamp"]))
                body = outer.body if isinstance(outer.body, bytes) else json.dumps(outer.body).encode()
                self.send_response_only(outer.status)
                if outer.date is not None:
                    self.send_header("Date", formatdate(outer.date, usegmt=True))
                if outer.drips_headers:
                    self.drip_headers()
                self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(body) + outer.missing))
                self.end_headers()
                for start in range(0, len(body), 1 if outer.drip_seconds else max(len(body), 1)):
                    self.wfile.write(body[start : start + 1] if outer.drip_seconds else body)
                    if outer.stopped.wait(outer.drip_seconds):
                        return

            def do_CONNECT(self) -> None:
                self.send_response_only(200)
                self.drip_headers()

            def drip_headers(self) -> None:
                with contextlib.suppress(OSError):  # the broker may have left
                    for _ in range(50):
                        self.send_header("X-Slow", "slow")
                        self.flush_headers()
                        if outer.stopped.wait(outer.drip_seconds):
                            return

            def handle_error(self, *_: object) -> None:
                pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Answers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def answers() -> Iterator[Answers]:
    """A server that answers as told."""
    with Answers() as server:
        yield server


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A started emulator on the real clock, which the SDK signs by."""
    with Emulator(SOURCE, buckets={BUCKET: REGION}) as emulator:
        yield emulator


def issuer_at(url: str, clock: Callable[[], int] | None = None, source=None) -> Issuer:
    """An issuer with the source key, on the test's clock, that does not pause between tries."""
    clock = clock or Clock()
    keeper = Timekeeper(clock, getattr(clock, "monotonic", time.monotonic))
    return Issuer(source or source_key(*SOURCE), url, REGION, keeper, sleep=lambda seconds: None)


def issue(issuer: Issuer, scope: Scope) -> Credential:
    """A new credential, in all the time there is."""
    return issuer.issue(scope, lambda: None)


def real_clock() -> int:
    """The emulator's clock."""
    return int(time.time())


class TestEmulator:
    """What a well-behaved STS gives."""

    @pytest.mark.parametrize(
        ("terms", "action"),
        [((1800,), "GetFederationToken"), ((3600, ROLE), "AssumeRole"), ((3600, ROLE, "external-1"), "AssumeRole")],
    )
    def test_issue(self, emulator, terms, action):
        """One call of the right action; the credential has all parts and dies when it was asked to."""
        now = int(time.time())
        given = issue(issuer_at(emulator.url, real_clock), Scope(document("a/*", "GetObject"), *terms))
        assert emulator.stats()["sts"] == {action: 1}
        assert given.secret_id.startswith("AKID")
        assert given.secret_key
        assert given.session_token
        assert given.request_id
        assert given.issued_at == now
        assert given.expires_at == now + terms[0]

    @pytest.mark.parametrize("key", ["dir/a.txt", "目录/用户 é+&=\"'~.txt", "a b/c"])
    @pytest.mark.parametrize("terms", [(1800,), (1800, ROLE)])
    def test_document_arrives(self, emulator, key, terms):
        """What the document allows works at COS, what it does not is refused: it reached STS intact."""
        now = int(time.time())
        given = issue(issuer_at(emulator.url, real_clock), Scope(document(key, "PutObject"), *terms))

        def put(name: str) -> int:
            host = emulator.url.removeprefix("http://")
            request = Request("PUT", emulator.url, name, {"Host": host, "Content-Length": "1"}, {})
            url = given.signer.presigned_url(request, Window(now - 60, now + 300))
            return send("PUT", url, {"Content-Length": "1"}, b"x")[0]

        assert put(key) == 200
        assert put(f"{key}x") == 403

    @pytest.mark.parametrize(
        ("code", "error", "status", "told"),
        [
            ("AuthFailure.SecretIdNotFound", UpstreamError, 502, "sts_refused"),
            ("AuthFailure.UnauthorizedOperation", UpstreamError, 502, "sts_refused"),
            ("UnauthorizedOperation", UpstreamError, 502, "sts_refused"),
            ("FailedOperation.TempKeyNotAllowed", UpstreamError, 502, "sts_refused"),
            ("InvalidParameter.StrategyFormatError", UpstreamError, 502, "sts_refused"),
            ("InvalidParameter.PolicyTooLong", UpstreamError, 502, "sts_refused"),
            ("InvalidParameter.OverTimeError", UpstreamError, 502, "sts_refused"),
            ("ResourceNotFound.RoleNotFound", UpstreamError, 502, "sts_refused"),
            ("InternalError.IllegalRole", UpstreamError, 502, "sts_refused"),
            ("RequestLimitExceeded", UpstreamUnavailable, 503, "sts_unavailable"),
            ("RequestLimitExceeded.UinLimitExceeded", UpstreamUnavailable, 503, "sts_unavailable"),
            ("InvalidParameter.OverLimit", UpstreamUnavailable, 503, "sts_unavailable"),
            ("InternalError", UpstreamUnavailable, 503, "sts_unavailable"),
            ("InternalError.DbError", UpstreamUnavailable, 503, "sts_unavailable"),
            ("ResourceUnavailable", UpstreamUnavailable, 503, "sts_unavailable"),
            ("SomethingNew", UpstreamUnavailable, 503, "sts_unavailable"),
        ],
    )
    def test_error(self, emulator, code, error, status, told):
        """A refusal for good is 502, what may pass is 503; both name STS's code and its RequestId."""
        emulator.order_fault(Fault("sts", 3, code))
        issuer = issuer_at(emulator.url, real_clock)
        with pytest.raises(UpstreamError) as caught:
            issue(issuer, Scope(document("a/*", "GetObject"), 1800))
        assert (type(caught.value), caught.value.status, caught.value.code) == (error, status, told)
        assert f"{code}, RequestId " in str(caught.value)
        assert len(str(caught.value).rpartition("RequestId ")[2]) == 36
        assert not any(secret in str(caught.value) for secret in SECRETS)
        retried = error is UpstreamUnavailable and code != "SomethingNew"
        assert emulator.stats()["sts"] == {"GetFederationToken": 3 if retried else 1}
        refused_itself = code.startswith(("AuthFailure", "UnauthorizedOperation", "FailedOperation.TempKey"))
        assert issuer.serving == (error is UpstreamError and not refused_itself)
        throttled = code.startswith(("RequestLimitExceeded", "InvalidParameter.OverLimit"))
        assert caught.value.about == ("source" if refused_itself or throttled else "scope")
        emulator.reset()
        assert issue(issuer, Scope(document("a/*", "GetObject"), 1800)).secret_id
        assert issuer.serving

    def test_netrc(self, emulator, tmp_path, monkeypatch):
        """What a .netrc says of STS's host does not take the signature's place."""
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert issue(issuer_at(emulator.url, real_clock), Scope(document("a/*", "GetObject"), 1800)).secret_id

    def test_wrong_key(self, emulator):
        """A key that STS does not accept is a refusal for good."""
        wrong = issuer_at(emulator.url, real_clock, source_key(SOURCE[0], "WRONGKEY000000000000"))
        with pytest.raises(UpstreamError) as caught:
            issue(wrong, Scope(document("a/*", "GetObject"), 1800))
        assert caught.value.code == "sts_refused"
        assert "AuthFailure" in str(caught.value)
        assert "WRONGKEY" not in str(caught.value)

    def test_document_that_sts_refuses(self, emulator):
        """STS's own judgement of a document is passed on by code; its message, which may quote, is not."""
        with pytest.raises(UpstreamError) as caught:
            issue(issuer_at(emulator.url, real_clock), Scope('{"version":"2.0","statement":[]}', 1800))
        assert (caught.value.code, type(caught.value)) == ("sts_refused", UpstreamError)
        assert "statement" not in str(caught.value)


class TestCall:
    """What STS is asked, to the letter."""

    def test_federation_token(self, answers):
        """A constant name, the document encoded once, the duration; nothing that varies."""
        text = document("目录/é *+&=.txt", "GetObject")
        issue(issuer_at(answers.url), Scope(text, 1800))
        [(action, asked)] = answers.calls
        assert (action, asked["Name"], asked["DurationSeconds"]) == ("GetFederationToken", "broker", 1800)
        assert unquote(asked["Policy"]) == text
        assert asked["Policy"].isascii()
        assert cam.measure(text) == len(asked["Policy"])
        assert set(asked) == {"Name", "Policy", "DurationSeconds"}

    @pytest.mark.parametrize("external", [None, "external-1"])
    def test_assume_role(self, answers, external):
        """The role, a constant session name, the document; the external id only if there is one."""
        text = document("a/*", "GetObject")
        issue(issuer_at(answers.url), Scope(text, 3600, ROLE, external))
        [(action, asked)] = answers.calls
        assert (action, asked["RoleArn"], asked["RoleSessionName"]) == ("AssumeRole", ROLE, "broker")
        assert (unquote(asked["Policy"]), asked["DurationSeconds"]) == (text, 3600)
        assert asked.get("ExternalId") == external

    @pytest.mark.parametrize(
        ("expired_time", "expires_at"),
        [(1_700_001_800, 1_700_001_800), (1_700_000_900, 1_700_000_900), (1_700_099_999, 1_700_001_800)],
    )
    def test_expiry(self, answers, expired_time, expires_at):
        """The smaller of what STS says and what was asked for counts."""
        answers.body = {"Response": {**WHOLE, "ExpiredTime": expired_time}}
        assert issue(issuer_at(answers.url), Scope("{}", 1800)).expires_at == expires_at

    def test_fingerprint(self, answers):
        """The source and the endpoint are part of what a credential is kept under; a rotating key counts as one."""
        one, scope = issuer_at(answers.url), Scope("{}", 1800)
        assert one.fingerprint(scope) == scope.fingerprint(SOURCE[0], answers.url)
        assert one.fingerprint(scope) != issuer_at("https://sts.test").fingerprint(scope)
        assert one.fingerprint(scope) != issuer_at(answers.url, source=source_key("AKIDOTHER", "x")).fingerprint(scope)
        first, second = (source_key(f"AKIDTEMPORARY{n}", "x") for n in range(2))
        first.token = second.token = "token"
        temporary = [issuer_at(answers.url, source=source) for source in (first, second)]
        assert {issuer.fingerprint(scope) for issuer in temporary} == {scope.fingerprint("temporary", answers.url)}
        assert [one.temporary, temporary[0].temporary] == [False, True]

    def test_source_fingerprint(self, answers):
        """Failures of the key are kept apart for each role, with its external id, and for asks without one."""
        one = issuer_at(answers.url)
        terms = [(), (ROLE,), (f"{ROLE}2",), (ROLE, "external-1")]
        assert len({one.source_fingerprint(Scope("{}", 1800, *role)) for role in terms}) == 4
        scope, same = Scope("{}", 1800, ROLE), Scope('{"a":1}', 900, ROLE)
        assert one.source_fingerprint(scope) == issuer_at(answers.url).source_fingerprint(same)
        other = issuer_at(answers.url, source=source_key("AKIDOTHER", "x"))
        assert other.source_fingerprint(scope) != one.source_fingerprint(scope)
        assert issuer_at("https://sts.test").source_fingerprint(scope) != one.source_fingerprint(scope)


class TestBadAnswers:
    """What is no credential is never taken for one."""

    @pytest.mark.parametrize(
        "change",
        [
            {"body": b"<html>SECRETKEY1</html>"},
            {"body": b"<html>SECRETKEY1</html>", "content_type": "text/html"},
            {"body": b""},
            {"body": b"\xff\xfe"},
            {"body": b"[]"},
            {"body": {}},
            {"body": {"Response": None}},
            {"body": {"Response": {}}},
            {"body": {"Response": {"Error": {"Message": "no code"}, "RequestId": "r"}}},
            {"body": {"Response": {**WHOLE, "Credentials": None}}},
            {"body": {"Response": {**WHOLE, "Credentials": {}}}},
            {"body": {"Response": {**WHOLE, "Credentials": "AKID"}}},
            {"body": {"Response": {**WHOLE, "Credentials": {**WHOLE["Credentials"], "Token": ""}}}},
            {"body": {"Response": {**WHOLE, "Credentials": {**WHOLE["Credentials"], "Token": None}}}},
            {"body": {"Response": {**WHOLE, "Credentials": {**WHOLE["Credentials"], "TmpSecretId": 5}}}},
            {"body": {"Response": {**WHOLE, "ExpiredTime": "soon"}}},
            {"body": {"Response": {**WHOLE, "ExpiredTime": None}}},
            {"body": {"Response": {**WHOLE, "ExpiredTime": [1]}}},
            {"status": 500},
            {"status": 302},
            {"missing": 10},
            {
                "body": {"Response": {"Error": {"Code": "InternalError", "Message": "x"}, "RequestId": "r"}},
                "content_type": "application/json; charset=utf-8",
            },
            {
                "body": {"Response": {"Error": {"Code": "InternalError", "Message": "x"}, "RequestId": "r"}},
                "content_type": "text/plain",
            },
        ],
        ids=range(23),
    )
    def test_not_a_credential(self, answers, change):
        """Anything but whole credentials is an outage of STS, without its body in the message."""
        for name, value in change.items():
            setattr(answers, name, value)
        issuer = issuer_at(answers.url)
        with pytest.raises(UpstreamUnavailable) as caught:
            issue(issuer, Scope("{}", 1800))
        assert caught.value.code == "sts_unavailable"
        assert not issuer.serving
        assert not any(secret in str(caught.value) for secret in SECRETS)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
    def test_whole_answer(self, answers, content_type):
        """The twin with everything in it is taken, whatever the type is called."""
        answers.content_type = content_type
        given = issue(issuer_at(answers.url), Scope("{}", 1800))
        assert (given.secret_id, given.secret_key, given.session_token) == ("AKID1", "SECRETKEY1", "TOKEN1")
        assert (given.issued_at, given.expires_at, given.request_id) == (1_700_000_000, 1_700_001_800, "request-1")
        assert "SECRETKEY1" not in repr(given)
        assert "TOKEN1" not in repr(given)

    def test_slow_answer(self, answers):
        """An answer that comes byte by byte ends with the time-out, not with the last byte."""
        answers.drip_seconds = 0.1
        began = time.monotonic()
        with pytest.raises(Refusal):
            issuer_at(answers.url)._try(Scope("{}", 1800), 0.4)
        assert time.monotonic() - began < 2
        answers.drip_seconds = 0.0

    @pytest.mark.parametrize("proxy", [False, True])
    def test_slow_headers(self, answers, monkeypatch, proxy):
        """Headers that come line by line, STS's or those of a proxy before it, end with the time-out, too."""
        answers.drip_seconds, answers.drips_headers = 0.1, True
        if proxy:
            monkeypatch.setenv("https_proxy", answers.url)
        issuer, began = issuer_at("https://sts.test" if proxy else answers.url), time.monotonic()
        with pytest.raises(Refusal):
            issuer._try(Scope("{}", 1800), 0.4)
        assert 0.3 < time.monotonic() - began < 2

    def test_slow_connection(self):
        """What it took to connect is not to be had again until the first byte comes."""
        with Deaf() as deaf:
            accepting = threading.Timer(0.5, deaf.accept)
            accepting.start()
            began = time.monotonic()
            with pytest.raises(Refusal):
                issuer_at(f"http://127.0.0.1:{deaf.address[1]}")._try(Scope("{}", 1800), 1.5)
            assert 1.4 < time.monotonic() - began < 2.2
            accepting.join()

    def test_long_answer(self, answers):
        """An answer without end is not read to its end."""
        answers.body = b"{" + b" " * 1_000_000 + b"}"
        with pytest.raises(UpstreamUnavailable):
            issue(issuer_at(answers.url), Scope("{}", 1800))

    def test_nobody_listens(self):
        """A refused connection is an outage at once, not after a time-out."""
        issuer = issuer_at(f"http://127.0.0.1:{free_port()}")
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable) as caught:
            issue(issuer, Scope("{}", 1800))
        assert time.monotonic() - began < 2
        assert (caught.value.code, caught.value.about) == ("sts_unavailable", "network")
        assert not issuer.serving

    def test_many_threads(self, answers):
        """One issuer serves threads side by side."""
        issuer, found = issuer_at(answers.url), []
        scopes = [Scope(json.dumps({"n": n}), 1800) for n in range(8)]
        threads = [threading.Thread(target=lambda s=s: found.append(issue(issuer, s))) for s in scopes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(found) == 8
        assert sorted(unquote(asked["Policy"]) for _, asked in answers.calls) == sorted(s.document for s in scopes)


class TestClock:
    """What the `Date` of an answer is good for."""

    @pytest.mark.parametrize("off", [-3600, -6, 6, 3600, 86_400])
    def test_corrected(self, answers, off):
        """A credential's life is counted on STS's clock, of whose hour the first answer tells."""
        answers.date = NOW + off
        answers.body = {"Response": {**WHOLE, "ExpiredTime": NOW + off + 1800}}
        given = issue(issuer_at(answers.url), Scope("{}", 1800))
        assert abs(given.issued_at - (NOW + off)) <= 1
        assert abs(given.expires_at - (NOW + off + 1800)) <= 1

    @pytest.mark.parametrize("expired_time", [NOW + 400, NOW - 5000, NOW + 90_000])
    def test_never_from_the_expiry(self, answers, expired_time):
        """An odd ExpiredTime is a shorter lifetime, not another time of the day."""
        clock = Clock()
        keeper = Timekeeper(clock, clock.monotonic)
        issuer = Issuer(source_key(*SOURCE), answers.url, REGION, keeper)
        answers.body = {"Response": {**WHOLE, "ExpiredTime": expired_time}}
        for _ in range(5):
            issue(issuer, Scope("{}", 1800))
        assert (keeper.skew_seconds, keeper()) == (0, NOW)

    @pytest.mark.parametrize("date", [None])
    def test_no_header(self, answers, date):
        """No header, no skew."""
        answers.date = date
        assert issue(issuer_at(answers.url), Scope("{}", 1800)).issued_at == NOW

    @pytest.mark.parametrize("off", [-7200, 7200])
    def test_refused_for_the_clock(self, off):
        """A local clock that STS refuses for being off is put right by that very answer, and the call made again."""
        clock = Clock(int(time.time()) + off)
        with Emulator(SOURCE, buckets={BUCKET: REGION}) as emulator:
            issuer = issuer_at(emulator.url, clock)
            given = issue(issuer, Scope(document("a/*", "GetObject"), 1800))
            assert emulator.stats()["sts"] == {"GetFederationToken": 2}
            assert abs(given.expires_at - time.time() - 1800) <= 3
            issue(issuer, Scope(document("b/*", "GetObject"), 1800))
            assert emulator.stats()["sts"] == {"GetFederationToken": 3}

    @pytest.mark.parametrize("off", [0, -7200, 7200])
    def test_asked_alone(self, off):
        """STS tells the time to whoever asks, without a credential being made or a call being counted."""
        clock = Clock(int(time.time()) + off)
        keeper = Timekeeper(clock, clock.monotonic)
        with Emulator(SOURCE, buckets={BUCKET: REGION}) as emulator:
            issuer = Issuer(source_key(*SOURCE), emulator.url, REGION, keeper)
            assert keeper.doubtful
            issuer.ask_time()
            assert emulator.stats() == {"sts": {}, "cos": {}}
        assert not keeper.doubtful
        assert abs(keeper() - time.time()) <= 3
        keeper(), clock.step(60), keeper()
        issuer.ask_time()  # nobody answers, and nobody minds
        assert keeper.doubtful

    def test_date_of_a_refusal(self, answers):
        """Refusals are dated, too."""
        answers.date = NOW + 600
        answers.body = {"Response": {"Error": {"Code": "InternalError", "Message": "x"}, "RequestId": "r"}}
        clock = Clock()
        keeper = Timekeeper(clock, clock.monotonic)
        issuer = Issuer(source_key(*SOURCE), answers.url, REGION, keeper, sleep=lambda seconds: None)
        with pytest.raises(UpstreamUnavailable):
            issue(issuer, Scope("{}", 1800))
        assert abs(keeper.skew_seconds - 600) <= 1
