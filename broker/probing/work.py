"""A door being tried: the credential at work, what it is answered, and what that proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.cos import client, forms
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.credentials.credential import Credential
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.probing import posting, verdicts
from broker.probing.asking import PICTURE
from broker.probing.cloud import Cloud
from broker.probing.doors import Door
from broker.probing.foreign import Foreign
from broker.probing.hands import Hands
from broker.probing.verdicts import ALLOWED, REFUSED, Attempt, Verdict

Tell = Callable[[Attempt], None]
SENT_BYTES = 16 * 1024 * 1024  # a longer body is declared and not sent
_NOTHING = "nothing remains"


def content(request: Request) -> bytes:
    """What an upload sends: a picture, cut or filled to the length that the request declares."""
    declared = next((value for name, value in request.headers.items() if name.lower() == "content-length"), None)
    return PICTURE if declared is None else filled(int(declared))


def filled(size: int) -> bytes:
    """The picture, cut or filled to a length."""
    return PICTURE[:size].ljust(size, b"\0")


@dataclass(frozen=True, slots=True)
class Work:
    """A door with all its credentials, being tried."""

    route: Route
    claims: ProvenClaims
    door: Door
    cloud: Cloud
    report: Tell
    hands: Hands
    credential: Credential

    def tell(self, attempt: Attempt) -> None:
        """Report an attempt as one of this door's."""
        self.report(attempt.of(self.door.name))

    def clean(self) -> None:
        """Remove what may have been made, and say what remains."""
        if not self.hands.busy:
            return
        try:
            left = self.hands.clean()
        except BaseException:
            self.hands.clean()  # who ends a probe at this point ends its report, not the cleaning
            raise
        self.tell(Attempt("clean-up", _NOTHING, not left, f"what remains: {', '.join(left)}" if left else _NOTHING))

    def judge(
        self,
        name: str,
        expectation: str,
        request: Request,
        answer: Answer | NoAnswer,
        refusals: frozenset[int | str] = frozenset(),
    ) -> None:
        """Tell what an answer proves."""
        if isinstance(answer, NoAnswer):
            self.tell(verdicts.untold(name, expectation, str(answer)))
            return
        found = verdicts.verdict(request, answer, refusals)
        self.tell(verdicts.judged(name, expectation, found, verdicts.said(answer)))

    def done(self, name: str, request: Request, answer: Answer | NoAnswer) -> bool:
        """Tell whether a request has been done; to be let through is not enough."""
        if isinstance(answer, NoAnswer):
            self.tell(verdicts.untold(name, ALLOWED, str(answer)))
            return False
        found, worked = verdicts.verdict(request, answer), verdicts.worked(answer)
        if found is Verdict.ALLOWED and not worked:
            found = Verdict.UNTOLD
        self.tell(verdicts.judged(name, ALLOWED, found, verdicts.said(answer)))
        return worked

    def not_overwritten(self, name: str, request: Request, answer: Answer | NoAnswer) -> None:
        """Tell whether an object that is there has been left alone."""
        if isinstance(answer, Answer) and answer.status == 403:
            self.tell(verdicts.untold(name, REFUSED, verdicts.said(answer)))  # for another reason than being there
        else:
            self.judge(name, REFUSED, request, answer, frozenset({409}))

    def refused(self, one: Foreign) -> None:
        """A foreign request; one that is too long is refused by what comes first of it, if at all."""
        sendable = one.size <= SENT_BYTES
        # A form's length is hardly looked at before its fields, which say whose it is.
        early = one.lengthy and not (sendable and one.form is not None)
        answer = self._sent(one, whole=not early)
        if early and isinstance(answer, NoAnswer):
            if sendable:
                answer = self._sent(one, whole=True)
            else:
                answer = NoAnswer(f"{answer} to what comes first, and {one.size} bytes are not sent")
        self.judge(one.name, REFUSED, one.request, answer, one.refusals)

    def _sent(self, one: Foreign, *, whole: bool) -> Answer | NoAnswer:
        seconds = client.TIMEOUT_SECONDS if whole else self.cloud.early_seconds
        if one.form is not None:
            fields = forms.fields(one.form, self.credential.signer, self.cloud.window())
            return self.post(one.request, f"{one.request.base_url}/", fields, one.size, whole=whole)
        body = content(one.request) if whole and one.request.method in ("PUT", "POST") else b""
        return self.asked(one.request, body, seconds)

    def post(
        self, request: Request, url: str, fields: Mapping[str, str], size: int, *, whole: bool = True
    ) -> Answer | NoAnswer:
        """The answer to a form with a file of so many bytes; `request` says what it would make, and more headers.

        Not `whole`: what its file has is declared and not sent.
        """
        headers, body = posting.encoded(fields, filled(size) if whole else b"", size)
        seconds = client.TIMEOUT_SECONDS if whole else self.cloud.early_seconds
        sent = {**headers, **{name: value for name, value in request.headers.items() if name != "Host"}}
        return self.noted(request, lambda: self.cloud.deliver(request, url, sent, body, seconds))

    def vended(self, request: Request, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer | NoAnswer:
        """The answer to what is vended for a request."""
        return self.noted(request, lambda: self.cloud.deliver(request, url, headers, body))

    def asked(
        self,
        request: Request,
        body: bytes = b"",
        timeout_seconds: float = client.TIMEOUT_SECONDS,
        extra: Mapping[str, str] | None = None,
    ) -> Answer | NoAnswer:
        """The answer to a request that the credential's holder signs."""
        return self.noted(request, lambda: self.cloud.ask(request, self.credential, body, extra, timeout_seconds))

    def noted(self, request: Request, ask: Callable[[], Answer]) -> Answer | NoAnswer:
        """The answer, or that there was none; what it may have made is remembered."""
        try:
            return self.hands.watch(request, ask)
        except NoAnswer as error:
            return error
