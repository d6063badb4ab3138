"""One door, tried: the ask inside, then everything foreign. What is made is removed, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from broker import vending
from broker.cos import client
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.credentials.credential import Credential
from broker.errors import ConfigurationError, Problem
from broker.policy.operations import declared
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.probing import verdicts
from broker.probing.attempts import Foreign, foreign
from broker.probing.cloud import Cloud, Hands
from broker.probing.doors import Door, content
from broker.probing.verdicts import ALLOWED, REFUSED, Attempt

Tell = Callable[[Attempt], None]
_ORDER = ("PUT", "POST", "HEAD", "GET", "DELETE")
_SENT_BYTES = 16 * 1024 * 1024  # a longer body is declared and not sent
_NOTHING = "nothing remains"


def visit(route: Route, claims: ProvenClaims, door: Door, cloud: Cloud, tell: Tell) -> None:
    """Try a door; every attempt is told as it happens. Raises ConfigurationError or UpstreamError, with nothing made.

    Every credential is there before the first request that could make anything.
    """
    picture = f"{door.token}.png"
    tries = foreign(route, claims, door)
    risky = _risky(route, door, cloud, tries)
    tries = [one for one in tries if one not in risky]
    made = {one.request.key for one in tries if one.writes} | ({door.key, picture} if door.writes else set())
    hands = Hands(cloud, route, made or {picture}, "HeadObject", "DeleteObject")
    credential = cloud.issue(door.order.demand.scope)
    at_work = _Visit(route, door, cloud, tell, hands, credential)
    try:
        at_work.inside()
        at_work.overwriting()
        at_work.picture(picture)
        at_work.chunked()
        for one in tries:
            at_work.refused(one)
        for one in risky:
            at_work.tell(verdicts.untold(one.name, REFUSED, f"not tried: {door.key} exists and is not risked"))
    finally:
        at_work.clean()


def _risky(route: Route, door: Door, cloud: Cloud, tries: Sequence[Foreign]) -> list[Foreign]:
    """The attempts that could harm an object that exists. Raises ConfigurationError if the door itself could."""
    touching = [one for one in tries if one.writes and one.request.key == door.key]
    if not touching and not door.writes:
        return []
    exists, said = Hands(cloud, route, [door.key], "HeadObject").find(door.key)
    if exists is None:
        raise _unfit(f"cannot make sure that {door.key} does not exist, so nothing was tried: HEAD got {said}")
    if exists and door.writes:
        raise _unfit(f"{door.key} exists and is not risked: name a key that does not exist, with --key or --input")
    return touching if exists else []


def _unfit(message: str) -> ConfigurationError:
    return ConfigurationError([Problem("probe", "key", message)])


@dataclass(slots=True)
class _Visit:
    """A door with all its credentials, being tried."""

    route: Route
    door: Door
    cloud: Cloud
    report: Tell
    hands: Hands
    credential: Credential
    grant: vending.Grant | None = field(default=None, repr=False)
    uploaded: bool = False

    def tell(self, attempt: Attempt) -> None:
        """Report an attempt as one of this door's."""
        self.report(attempt.of(self.door.name))

    def clean(self) -> None:
        """Remove what may have been made, and say what remains."""
        if self.hands.busy:
            left = self.hands.clean()
            self.tell(Attempt("clean-up", _NOTHING, not left, f"what remains: {', '.join(left)}" if left else _NOTHING))

    def inside(self) -> None:
        """What is vended, used as the policy has it."""
        for method in sorted(self.door.permitted, key=_ORDER.index):
            request = self.door.permitted[method]
            answer = self._vended(request)
            self.uploaded |= method == "PUT" and isinstance(answer, Answer) and answer.status == 200
            self._judge(f"inside, {method} {request.key}", ALLOWED, method, answer)

    def overwriting(self) -> None:
        """The same PUT a second time. Holders of keys choose their headers, so keys promise nothing of the kind."""
        name = "overwriting, the same PUT again"
        rule = declared(self.route.document.headers, "x-cos-forbid-overwrite")
        upload = self.door.permitted.get("PUT")
        if upload is None or self.door.order.request is None or rule is None or rule.const != "true":
            return
        if not self.uploaded:
            self.tell(verdicts.untold(name, REFUSED, "nothing there to overwrite"))
            return
        answer = self._vended(upload, again=True)
        if isinstance(answer, Answer) and answer.status == 403:
            self.tell(verdicts.untold(name, REFUSED, verdicts.said(answer)))  # for another reason than being there
        else:
            self._judge(name, REFUSED, "PUT", answer, frozenset({409}))

    def picture(self, key: str) -> None:
        """Image processing writes what `fileid` names, at the word of a header that nobody signed."""
        upload = self.door.permitted.get("PUT")
        if upload is None:
            return
        name = f"Pic-Operations with a foreign fileid, /{key}"
        self.hands.clean()  # else a header that forbids to overwrite would end the upload first
        self.hands.suspect(key)
        rules = [{"fileid": f"/{key}", "rule": "imageMogr2/format/png"}]
        answer = self._vended(upload, {"Pic-Operations": json.dumps({"is_pic_info": 1, "rules": rules})})
        if isinstance(answer, NoAnswer) or answer.status == 403 or answer.status >= 500:
            self._judge(name, REFUSED, "PUT", answer)
        else:
            self._judge_picture(name, key, answer)

    def chunked(self) -> None:
        """A body in chunks, longer than the length that is signed beside it: a server must not believe the chunks."""
        upload = self.door.permitted.get("PUT")
        if upload is None or not {"Content-Length", "content-length"} & set(upload.headers):
            return
        self.hands.clean()
        longer = content(upload) + b"x"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(longer), longer)
        answer = self._vended(upload, {"Transfer-Encoding": "chunked"}, body=body)
        name = "a longer body in chunks beside the signed Content-Length"
        self._judge(name, REFUSED, "PUT", answer, frozenset({400, 411, 501}))

    def refused(self, one: Foreign) -> None:
        """A foreign request; one that is too long is refused by its headers, before there is a body, if at all."""
        body = content(one.request) if one.request.method in ("PUT", "POST") and not one.lengthy else b""
        answer = self._asked(one.request, body, self.cloud.early_seconds if one.lengthy else client.TIMEOUT_SECONDS)
        if one.lengthy and isinstance(answer, NoAnswer) and one.length <= _SENT_BYTES:
            answer = self._asked(one.request, content(one.request))
        elif one.lengthy and isinstance(answer, NoAnswer):
            answer = NoAnswer(f"{answer} to the headers alone, and {one.length} bytes are not sent")
        self._judge(one.name, REFUSED, one.request.method, answer, one.refusals)

    def _judge(
        self,
        name: str,
        expectation: str,
        method: str,
        answer: Answer | NoAnswer,
        refusals: frozenset[int] = frozenset(),
    ) -> None:
        if isinstance(answer, NoAnswer):
            self.tell(verdicts.untold(name, expectation, str(answer)))
            return
        found = verdicts.verdict(method, answer, refusals)
        self.tell(verdicts.judged(name, expectation, found, verdicts.said(answer)))

    def _judge_picture(self, name: str, key: str, answer: Answer) -> None:
        exists, said = self.hands.find(key)
        got = f"{verdicts.said(answer)}, and HEAD of the foreign object {said}"
        if exists is None or answer.status == 409:
            self.tell(verdicts.untold(name, REFUSED, got))
        else:
            self.tell(Attempt(name, "refused or without effect", not exists, got if exists else f"no effect ({got})"))

    def _vended(
        self,
        request: Request,
        extra: Mapping[str, str] | None = None,
        *,
        again: bool = False,
        body: bytes | None = None,
    ) -> Answer | NoAnswer:
        """The answer to what is vended for a request; keys sign it themselves. `again` sends what was sent before."""
        if body is None:
            body = content(request) if request.method == "PUT" else b""
        if self.door.order.request is None:
            return self._asked(request, body, extra=extra)
        if self.grant is None or not again:
            self.grant = vending.grant(self.door.order, self.credential, self.cloud.clock())
        grant = self.grant
        assert isinstance(grant, (vending.UrlGrant, vending.SignatureGrant))  # noqa: S101  its order has a request
        headers = {**grant.headers, **(extra or {})}
        return self._noted(request, lambda: self.cloud.send(grant.method, grant.url, headers, body))

    def _asked(
        self,
        request: Request,
        body: bytes = b"",
        timeout_seconds: float = client.TIMEOUT_SECONDS,
        extra: Mapping[str, str] | None = None,
    ) -> Answer | NoAnswer:
        return self._noted(request, lambda: self.cloud.ask(request, self.credential, body, extra, timeout_seconds))

    def _noted(self, request: Request, ask: Callable[[], Answer]) -> Answer | NoAnswer:
        try:
            return self.hands.watch(request, ask)
        except NoAnswer as error:
            return error
