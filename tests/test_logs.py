"""Log lines: what they hide, what they leave, and that they stay whole."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import logs

SECRET = "c2VjcmV0L1+dGhhdCtub2JvZHk="
PLAIN = "S3cr3tThatNobodyMayRead"
API_SECRET = "5ecretThatNobodyMayReadAndIsOf43Characters-"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl-_0"
URL = f"https://b.cos/k?q-sign-algorithm=sha1&q-ak={PLAIN}&q-sign-time=1%3B2&q-signature={PLAIN}&x-cos-security-token={PLAIN}"
NAMES = [
    "q-signature", "q-ak", "x-cos-security-token", "X-TC-Token", "Authorization", "TmpSecretKey", "tmpSecretKey",
    "SessionToken", "sessionToken", "SecretKey", "secret_key", "sign_key", "SignKey", "sign", "Token", "session_token",
]  # fmt: skip
FORMS = {
    "query": "?a=1&{name}={value}&b=2",
    "assignment": "{name} = {value}",
    "header line": "{name}: {value}\r\nHost: b",
    "JSON": '{{"a": 1, "{name}": "{value}", "b": 2}}',
    "compact JSON": '{{"a":1,"{name}":"{value}","b":2}}',
    "JSON in JSON": '{{"body": "{{\\"{name}\\": \\"{value}\\"}}"}}',
    "repr of a dict": "{{'a': 1, '{name}': '{value}', 'b': 2}}",
    "repr of bytes": "{{b'{name}': b'{value}'}}",
    "repr of bytes by text": "{{'{name}': b'{value}'}}",
    "header list": "[('Host', 'b'), ('{name}', '{value}')]",
    "raw header list": "[(b'{name}', b'{value}')]",
    "repr of an object": "Thing(a=1, {name}='{value}')",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_named_secret(form, name):
    """The value behind a secret's name is hidden, whatever stands between them; what follows stays."""
    text = form.format(name=name, value=PLAIN)
    hidden = logs.redact(text)
    assert PLAIN not in hidden
    assert "[redacted]" in hidden
    assert name in hidden
    for rest in ("b=2", "Host: b", '"b": 2', "'b': 2"):
        assert (rest in text) == (rest in hidden)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [PLAIN, SECRET])
@pytest.mark.parametrize("times", [1, 2])
def test_percent_encoded(name, value, times):
    """A query that was percent-encoded, once or twice, hides the same."""
    text, encoded = f"https://h/?u=https://b/k?{name}={value}&b=2", value
    for _ in range(times):
        text, encoded = quote(text, safe=""), quote(encoded, safe="")
    for spelling in (text, text.replace("%3D", "%3d").replace("%2D", "%2d").replace("%253D", "%253d")):
        hidden = logs.redact(spelling)
        assert [one for one in (value, quote(value, safe=""), encoded) if one in hidden] == []


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {JWT}",
        f"authorization: bearer {JWT}",
        f"'Authorization': 'Bearer {JWT}'",
        f"token was {JWT}.",
        f"https://h/{JWT}/x",
        f"Authorization: Basic {PLAIN}",
        f"Proxy-Authorization: Basic {PLAIN}",
        f"Authorization: TC3-HMAC-SHA256 Credential=AKID/2026/sts/tc3_request, SignedHeaders=host, Signature={PLAIN}",
        f"Authorization: q-sign-algorithm=sha1&q-ak={PLAIN}&q-sign-time=1;2&q-header-list=&q-signature={PLAIN}",
        f"Bearer bff.{PLAIN}{PLAIN}",
        f"key must be of the form a/b, got 'bff%2E{API_SECRET}'",
        f"/v1/bff%252e{API_SECRET}?x",
        quote(JWT, safe="").replace(".", "%2E"),
        f"redis://:{PLAIN}@h:6379/0",
        f"rediss://user:{PLAIN}@h",
        f"redis://user:{PLAIN}@x@h:6379/0",
        f"redis://user:a@{PLAIN}@h:6379/0",
        f"redis://user:a:{PLAIN}@h:6379/0",
        f"https://user:{PLAIN}@h/path",
        URL,
        quote(URL, safe=""),
    ],
)
def test_other_secrets(text):
    """Bearer tokens, passwords in URLs, signed URLs and signatures are hidden wherever they stand."""
    hidden = logs.redact(text)
    assert [one for one in (PLAIN, JWT, API_SECRET, JWT.rpartition(".")[2]) if one in hidden] == []


@pytest.mark.parametrize(
    "text",
    [
        "the sign of the times",
        "design=abc and assigned=3",
        "no token was sent",
        "the token expired 3 s ago, 30 s are allowed",
        "expected Authorization: Bearer with a JWT (two dots), got no Authorization header",
        "this needs an Authorization header: Bearer JWT or Bearer ID.SECRET",
        "q-sign-time=1;2&q-key-time=1;2",
        "request_id=0b6c1b2e RequestId 9f1c",
        "https://h:8000/v1/avatars/url?x=1",
        "redis://h:6379/0",
        "avatars/u1/0b6c1b2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b.png",
        "GET /signup?page=2 200",
        "key=avatars/u1/x.png method=PUT status=200",
        "mail to u1@example.com",
        "claim scope must contain 'avatars:write'",
        '"POST / HTTP/1.1" 200 873',
        "q-sign-algorithm=sha1",
        "",
    ],
)
def test_readable(text):
    """What is no secret stays as it is."""
    assert logs.redact(text) == text


PIECES = [
    "q-signature",
    "Authorization",
    "token",
    "sign",
    "=",
    ": ",
    ", ",
    " ",
    "%3D",
    "%253d",
    '"',
    "'",
    ">",
    "<",
    "\r\n\r\n",
    "Bearer",
    "eyJ",
    ".",
    "...",
    "://",
    "@",
    "/",
    "a",
    "ab_-",
    "A" * 8,
    "b" * 43,
    JWT,
    "é",
    "\u2028",
    "\\",
    "&",
    "bff",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@settings(max_examples=2000, deadline=None)
def test_short_way(text):
    """What is let pass at a glance is what a thorough look would let pass."""
    assert logs.redact(text) == logs.thoroughly_redacted(text)


@pytest.mark.parametrize("cut", [35, 20, 8])
def test_cut_api_key(cut):
    """What a message has cut off a key is hidden as well."""
    assert PLAIN[:8] not in logs.redact(f"got 'bff.{(PLAIN * 2)[:cut]}...'")
    assert PLAIN[:8] not in logs.redact(f"bff.{(PLAIN * 2)[:cut]}...")


@pytest.mark.parametrize("name", ["q-signature", "x-cos-security-token"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\\r\\n"])
def test_form(name, end):
    """The fields of a form as they go over the wire, and as a repr shows them."""
    text = f'form-data; name="{name}"{end}{end}{PLAIN}{end}--x{end}form-data; name="file"{end}{end}hello'
    hidden = logs.redact(text)
    assert PLAIN not in hidden
    assert "hello" in hidden


@pytest.mark.parametrize(
    "text",
    [
        f"<TmpSecretKey>{PLAIN}</TmpSecretKey><Token>{PLAIN}</Token>",
        f"environ({{'BROKER_CACHE_KEYS': '{PLAIN}', 'TENCENTCLOUD_SECRET_KEY': '{PLAIN}'}})",
        f"redis://h:6379/0?password={PLAIN}",
        f"Redis(password='{PLAIN}')",
    ],
)
def test_wherever_they_stand(text):
    """Elements of XML, variables of an environment, passwords by name."""
    assert PLAIN not in logs.redact(text)


@pytest.mark.parametrize(
    "text", [f"q-signature={PLAIN}&a=1", f"Authorization: Bearer {JWT}", f"'SecretKey': '{PLAIN}'"]
)
def test_twice(text):
    """Redacting what is redacted changes nothing."""
    once = logs.redact(text)
    assert logs.redact(once) == once


@pytest.mark.parametrize(
    "unit", ["q-signature=", "token: ", '"sign', "Bearer ", "eyJ", "%3D", "a://b:", "'", "\\", "sign="]
)
def test_hostile_text(unit):
    """No text makes redaction slow: lines are written on the way of every request."""
    logs.redact(unit * 3000)


@pytest.fixture
def configure(logging_restored: None, capsys: pytest.CaptureFixture[str]) -> Iterator:
    """Configures the process's logging; the function returns what was written since."""

    def start(level: str = "debug", form: str = "json"):
        logs.configure(level, form)
        return lambda: capsys.readouterr().err.splitlines()

    return start


class TestEveryLogger:
    """The process's logging, once configured."""

    @pytest.mark.parametrize(
        "name", ["urllib3.connectionpool", "tencentcloud_sdk_common", "redis", "someone.elses", ""]
    )
    @pytest.mark.parametrize("form", ["json", "console"])
    def test_third_party(self, configure, name, form):
        """Whoever logs, however it is formatted, in arguments too."""
        told = configure(form=form)
        logging.getLogger(name).warning("GET %s with %s", URL, {"Authorization": f"Bearer {JWT}", "n": 1})
        lines = told()
        assert len(lines) == 1
        assert [one for one in (PLAIN, JWT) if one in lines[0]] == []
        assert "q-sign-time" in lines[0]

    @pytest.mark.parametrize("form", ["json", "console"])
    def test_exception(self, configure, form):
        """The text of an exception, and of the one behind it."""
        told = configure(form=form)
        try:
            try:
                raise ValueError(f"sign_key: {PLAIN}")
            except ValueError as error:
                raise RuntimeError(f"cannot open {URL}") from error
        except RuntimeError:
            logging.getLogger("x").exception("failed")
        written = "\n".join(told())
        assert PLAIN not in written
        assert ("RuntimeError" in written, "ValueError" in written) == (True, True)

    def test_other_handlers(self, configure):
        """A handler of somebody else's, set up before or after, gets the same."""
        collected: list[str] = []

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                collected.append(logging.Formatter("%(message)s %(args)s").format(record))

        configure()
        logger = logging.getLogger("with.handler")
        logger.addHandler(handler := Collector())
        try:
            raise ValueError(URL)
        except ValueError:
            logger.exception("%s", URL)
        logger.removeHandler(handler)
        assert len(collected) == 1
        assert PLAIN not in collected[0]

    def test_fields(self, configure):
        """The fields beside a message."""
        told = configure()
        logging.getLogger("x").info("m", extra={"fields": {"path": f"/v1/{JWT}", "detail": URL}})
        line = told()[0]
        assert [one for one in (PLAIN, JWT) if one in line] == []

    def test_arguments_that_do_not_fit(self, configure):
        """A caller's mistake costs nobody the line."""
        told = configure()
        logging.getLogger("x").info("only %s and %s", "one")
        logging.getLogger("x").info("100 % sure %d", "x")
        assert [json.loads(line)["message"] for line in told()] == ["only %s and %s", "100 % sure %d"]

    def test_percent_signs(self, configure):
        """A message without arguments keeps its percent signs."""
        told = configure()
        logging.getLogger("x").info("100 %s")
        assert json.loads(told()[0])["message"] == "100 %s"

    def test_level(self, configure):
        """Lines below the level are not written."""
        told = configure(level="warning")
        logging.getLogger("x").info("no")
        logging.getLogger("x").warning("yes")
        assert [json.loads(line)["message"] for line in told()] == ["yes"]

    def test_configured_twice(self, configure):
        """Configuring again replaces the handler."""
        configure()
        told = configure()
        logging.getLogger("x").info("once")
        assert len(told()) == 1


class TestJsonLines:
    """One object a line, under four kilobytes."""

    def test_members(self, configure):
        """Time in UTC, level, logger, message, and the record's own fields."""
        told = configure()
        logging.getLogger("broker.web").warning("sts_refused", extra={"fields": {"status": 502, "client": None}})
        line = json.loads(told()[0])
        assert {name: line[name] for name in ("level", "logger", "message", "status", "client")} == {
            "level": "warning", "logger": "broker.web", "message": "sts_refused", "status": 502, "client": None
        }  # fmt: skip
        assert line["time"].endswith("Z")

    @pytest.mark.parametrize("text", ["x", "é", "\U0001f600", "\n", '"', "\\", "\x00"])
    @pytest.mark.parametrize("count", [10, 1000, 2999, 100_000])
    def test_size(self, configure, text, count):
        """However long and strange message, fields and exception are, the line is valid and stays whole."""
        told = configure()
        try:
            raise ValueError(text * count)
        except ValueError:
            logging.getLogger("x" * 100).exception(text * count, extra={"fields": {"path": text * min(count, 1000)}})
        lines = told()
        assert len(lines) == 1
        assert len(lines[0].encode()) < 4096
        assert {"time", "level", "logger", "message", "path", "exception"} <= json.loads(lines[0]).keys()

    def test_end_of_an_exception(self, configure):
        """Of a long traceback the end stays: that is where it says what happened."""
        told = configure()

        def deep(levels: int) -> None:
            if levels == 0:
                raise ValueError("the very last words")
            deep(levels - 1)

        try:
            deep(150)
        except ValueError:
            logging.getLogger("x").exception("m")
        assert "the very last words" in json.loads(told()[0])["exception"]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\x0bb"])
def test_lines_of_the_console_form(configure, text):
    """What is logged begins no line of its own and steers no terminal."""
    told = configure(form="console")
    logging.getLogger("x").info(text, extra={"fields": {"path": text}})
    lines = told()
    assert len(lines) == 1
    assert lines[0].isprintable()


class TestBrokenStderr:
    """Whoever logs does not fail for it, and each line that is lost is told of."""

    @pytest.mark.parametrize("way", ["closed pipe", "full disk", "closed file"])
    def test_lines(self, logging_restored, way):
        """However it broke."""
        handler, lost = logs.configure("info", "json"), []
        handler.lost = lost.append
        if way == "closed pipe":
            reading, writing = os.pipe()
            os.close(reading)
            stream = os.fdopen(writing, "w")
        else:
            stream = open("/dev/full", "w")  # noqa: SIM115  closed below
        if way == "closed file":
            stream.close()
        handler.setStream(stream)
        try:
            logging.getLogger("x").info("one")
            logging.getLogger("x").info("two")
        finally:
            handler.stream = sys.stderr
            stream.close()
        assert lost == [1, 1]

    def test_whole_stderr(self, configure):
        """Its allowed twin: none is lost."""
        told = configure()
        logging.getLogger("x").info("one")
        assert len(told()) == 1


def test_stderr(configure, capsys):
    """Lines go to stderr; stdout is for what a verb prints."""
    configure()
    logging.getLogger("x").info("m")
    assert capsys.readouterr().out == ""
    assert sys.stderr is not sys.stdout
