"""What a probe needs of the world, and the hands it works with: one credential for finding, one for cleaning up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.cos import cam, client
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request, Window
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.policy.routes import Route
from broker.vending import BACKDATE_SECONDS

_SIGNED_SECONDS = 60
_KEYS_SECONDS = 1800  # for finding and cleaning up; the least that COS's guide names
_TRIES = 2


@dataclass(frozen=True, slots=True)
class Cloud:
    """STS, COS and the time (Unix seconds, on their clocks).

    `early_seconds`: how long COS may take to refuse an upload by its headers alone.
    """

    issue: Callable[[Scope], Credential]
    clock: Callable[[], int]
    send: Callable[..., Answer] = client.send
    early_seconds: float = 3.0

    def ask(
        self,
        request: Request,
        credential: Credential,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_seconds: float = client.TIMEOUT_SECONDS,
    ) -> Answer:
        """What COS answers to a request that is signed here; `extra` headers are not signed. Raises NoAnswer."""
        now = self.clock()
        url = credential.signer.presigned_url(request, Window(now - BACKDATE_SECONDS, now + _SIGNED_SECONDS))
        headers = {**request.headers, **(extra or {})}
        return self.send(request.method, url, headers, body, timeout_seconds=timeout_seconds)


class Hands:
    """HeadObject, and DeleteObject where it is said, on exactly these keys; keeps what may have been made of them."""

    def __init__(self, cloud: Cloud, route: Route, keys: Iterable[str], *actions: str) -> None:
        self._cloud = cloud
        self._route = route
        self._made: dict[str, set[str]] = {}
        self._credential = cloud.issue(_scope(route, sorted(set(keys)), actions))

    @property
    def busy(self) -> bool:
        """Whether there is anything to clean up."""
        return bool(self._made)

    def watch(self, request: Request, ask: Callable[[], Answer]) -> Answer:
        """What `ask` answers to a request. What that may make is remembered before: an answer may never come."""
        makes = request.method in ("PUT", "POST")
        new = makes and request.key not in self._made
        if makes:
            self.suspect(request.key)
        answer = ask()
        refused = answer.status in (403, 405)
        if refused and new:
            del self._made[request.key]
        version = answer.headers.get("x-cos-version-id")
        # In a versioned bucket a deletion makes something, too: a marker.
        if version and not refused and (makes or request.method == "DELETE"):
            self._made.setdefault(request.key, set()).add(version)
        return answer

    def suspect(self, key: str) -> None:
        """Remember that there may be an object."""
        self._made.setdefault(key, set())

    def find(self, key: str) -> tuple[bool | None, str]:
        """(whether an object exists or None if it cannot be told, what COS said)."""
        try:
            answer = self._ask("HEAD", key)
        except NoAnswer as error:
            return None, str(error)
        return {200: True, 404: False}.get(answer.status), str(answer.status)

    def clean(self) -> list[str]:
        """Delete what may have been made, version by version; the keys that could not be, with the reason."""
        left = []
        for key, versions in sorted(self._made.items()):
            missed = [reason for one in sorted(versions) or [""] if (reason := self._delete(key, one)) is not None]
            if missed:
                left.append(f"{key} ({missed[0]})")
            else:
                del self._made[key]
        return left

    def _delete(self, key: str, version: str) -> str | None:
        reason = ""
        for _ in range(_TRIES):
            try:
                answer = self._ask("DELETE", key, {"versionId": version} if version else {})
            except NoAnswer as error:
                reason = str(error)
                continue
            if answer.status in (200, 204, 404):
                return None
            reason = f"DELETE got {answer.status} {answer.code}".rstrip()
        return reason

    def _ask(self, method: str, key: str, params: Mapping[str, str] | None = None) -> Answer:
        endpoint = self._route.endpoint
        request = Request(method, endpoint.base_url, key, {"Host": endpoint.host}, params or {})
        return self._cloud.ask(request, self._credential)


def _scope(route: Route, keys: Sequence[str], actions: Sequence[str]) -> Scope:
    document, terms = route.document, route.document.credential
    resources = [cam.resource(document.region, document.bucket, key) for key in keys]
    text = cam.compact(cam.document([cam.statement([f"name/cos:{name}" for name in actions], resources, {})]))
    return Scope(text, min(_KEYS_SECONDS, terms.duration_seconds), terms.role_arn, terms.external_id)
