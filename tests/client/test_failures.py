from __future__ import annotations

import logging
import traceback

import pytest
import requests

from broker.client import (
    BrokerClientError,
    NetworkError,
    Refused,
    StoreError,
    Unavailable,
    UnexpectedAnswer,
)
from broker.client.sending import Sender
from broker.emulator.faults import Fault
from broker.local import free_port

ROUTES = (200, {}, {"routes": []})
TEXT = {"Content-Type": "text/plain"}
PLAIN = {**TEXT, "Content-Length": "1"}


def problem(status, code, retry_after=None):
    """A scripted refusal."""
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return status, headers, {"status": status, "code": code, "detail": "no", "errors": [], "request_id": "r1"}


def test_refusal(client, pauses):
    """A refusal is the broker's problem, typed, and is not asked again."""
    with pytest.raises(Refused) as refusal:
        client.get_presigned_url("files", Method="PUT", Key="files/u2/a", Headers=PLAIN)
    error = refusal.value
    assert (error.status, error.code, error.errors[0].field) == (422, "key_not_allowed", "key")
    assert error.request_id in str(error)
    assert len(error.request_id) == 32
    assert pauses == []


@pytest.mark.parametrize(
    ("route", "token", "status", "code"),
    [("none", None, 404, "route_not_found"), ("files", "x.y.z", 401, "unauthenticated")],
)
def test_other_refusals(url, door, connect, route, token, status, code):
    """Every code of the API arrives as it is."""
    with pytest.raises(Refused) as refusal:
        connect(url, token or door.token()).get_presigned_url(route)
    assert (refusal.value.status, refusal.value.code) == (status, code)


def test_rate_limit(scripted, connect, pauses):
    """429 is asked again, but not sooner than the broker says."""
    url, double = scripted(problem(429, "rate_limited", 7), problem(429, "rate_limited", 3), ROUTES)
    connect(url).routes()
    assert pauses == [7 + 0.125, 3 + 0.25]
    assert len(double.asked) == 3


def test_deadline(scripted, connect, pauses):
    """A wait that would outlast the deadline is not begun; one that fits, is."""
    url, double = scripted(problem(503, "sts_unavailable", 6))
    with pytest.raises(Unavailable) as refusal:
        connect(url, deadline_seconds=10).routes()
    assert (refusal.value.retry_after_seconds, refusal.value.code) == (6, "sts_unavailable")
    assert pauses == [6.125]
    assert len(double.asked) == 2


def test_sts_trouble(url, door, connect, emulator, pauses):
    """An outage of STS that the broker reports is waited out."""

    def sleep(seconds):
        pauses.append(seconds)
        door.clock.tick(seconds)

    client = connect(url, door.token(), sleep=sleep, clock=door.clock.monotonic)
    emulator.order_fault(Fault("sts", 3, "InternalError.DbError"))
    assert client.get_presigned_download_url("read", Inputs={"name": "a"}).key == "files/u1/a"
    assert pauses


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway(scripted, connect, status):
    """What a gateway answers without a problem document is an outage."""
    url, _ = scripted((status, {}, "<html>"), ROUTES)
    assert connect(url).routes() == ()


def test_refused_by_sts(scripted, connect, pauses):
    """A 502 of the broker's own is for good."""
    url, _ = scripted(problem(502, "sts_refused"), ROUTES)
    with pytest.raises(Refused):
        connect(url).routes()
    assert pauses == []


def test_unreachable(connect, pauses):
    """Nobody listening is asked until the deadline, and then told by kind alone."""
    with pytest.raises(NetworkError) as failure:
        connect(f"http://127.0.0.1:{free_port()}", deadline_seconds=2).routes()
    assert (failure.value.party, failure.value.kind) == ("the broker", "ConnectionError")
    assert len(pauses) > 1
    assert sum(pauses) < 2


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, "<html>"),
        (200, {}, []),
        (200, {}, {"routes": [{"route": 1}]}),
        (200, {}, {}),
        (302, {"Location": "http://127.0.0.1:1/"}, {}),
    ],
)
def test_other_answers(scripted, connect, answer):
    """What is no answer of the API is said to be none; redirects are not followed."""
    url, double = scripted(answer)
    with pytest.raises(UnexpectedAnswer):
        connect(url).routes()
    assert len(double.asked) == 1


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä"])
def test_unsendable_token(connect, token):
    """What cannot stand in a header is refused without being quoted."""
    with pytest.raises(BrokerClientError, match="the token must be") as refusal:
        connect("http://127.0.0.1:1", token).routes()
    assert not token or token not in str(refusal.value)


def everything(error):
    """All that a traceback, a repr and the arguments of an error show."""
    shown = "".join(traceback.format_exception(error))
    while error is not None:
        shown += f"{error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    return shown


def test_no_secret_is_told(client, door, wire, emulator, make_file, connect, caplog, tmp_path):
    """Neither errors nor reprs nor the log at its most talkative hold a token, a signature or a signed URL."""
    caplog.set_level(logging.DEBUG)
    token = client._asker.identity.token
    grant = client.get_presigned_url("files", Inputs={"name": "a"}, Headers=PLAIN)
    keys, form = client.credentials("user-folder"), client.form("files", inputs={"name": "a"}, headers=TEXT)
    sign = client.get_auth("files", Inputs={"name": "a"}, Headers=PLAIN)
    step = client.multipart("parts-only", "initiate", inputs={"name": "a"}, size=1)
    shown = repr([client, client._asker.identity, grant, keys, form, sign, step])
    path = make_file(10)
    for fault in ("AccessDenied", "SlowDown"):
        emulator.order_fault(Fault("cos", 5, fault))
        with pytest.raises(StoreError) as refusal:
            client.upload_file("files", path, inputs={"name": "a"})
        shown += everything(refusal.value)
    wire.order("PUT", "refuse", 5)
    with pytest.raises(NetworkError) as failure:
        client.upload_file("files", path, inputs={"name": "a"})
    shown += everything(failure.value)
    wire.order("GET", "refuse", 5)
    with pytest.raises(NetworkError) as failure:
        client.download_file("read", "files/u1/a", tmp_path / "a")
    shown += everything(failure.value) + caplog.text
    secrets = [token, keys.secret_key, keys.session_token, sign.authorization, form.fields["policy"]]
    secrets += [grant.url.partition("q-signature=")[2][:40]]
    assert [one for one in secrets if one in shown] == []
    assert "q-signature=" not in shown
    assert "x-cos-security-token=" not in shown
    assert "urllib3.connectionpool" in caplog.text


def test_log_of_others(caplog):
    """What somebody else in the process sends is logged as ever: the client hides its own requests alone."""
    caplog.set_level(logging.DEBUG)
    sender, url = Sender(None, 1), f"http://127.0.0.1:{free_port()}/k?q-signature={'x' * 9}"
    with sender.session, pytest.raises(NetworkError):
        sender.send("COS", "GET", url, {})
    logger = logging.getLogger("urllib3.connectionpool")
    assert logger.filters != []
    logger.debug("GET %s", url)
    assert caplog.messages.count(f"GET {url}") == 1
    assert [message for message in caplog.messages[:-1] if "x" * 9 in message] == []


def test_signed_url_of_nobody():
    """The library's error quotes the URL; ours neither quotes it nor keeps that error."""
    sender = Sender(None, 1)
    with sender.session, pytest.raises(NetworkError) as failure:
        sender.send("COS", "GET", f"http://127.0.0.1:{free_port()}/k?q-signature={'x' * 9}", {})
    assert "x" * 9 not in everything(failure.value)


def test_netrc(client, monkeypatch, tmp_path, make_file, wire):
    """Credentials that a .netrc has for COS's host are not added to what the broker signed."""
    client.get_presigned_url("files", Inputs={"name": "a"}, Headers=PLAIN)  # the broker here asks STS without it
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.upload_file("files", make_file(10), inputs={"name": "a"})
    assert [one for one in wire.headers if "HTTP_AUTHORIZATION" in one] == []


def test_own_session(url, door, connect):
    """A session of the caller's is the one that is used."""
    with requests.Session() as session:
        session.headers["X-Request-Id"] = "mine-1"
        with pytest.raises(Refused) as refusal:
            connect(url, door.token(), session=session).get_presigned_url("none")
    assert refusal.value.request_id == "mine-1"
