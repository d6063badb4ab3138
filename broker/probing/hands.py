"""The hands that a probe works with: what they find, what may have been made, and how it is removed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from broker.cos import cam
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.credentials.scope import Scope
from broker.policy.routes import Route
from broker.probing.cloud import Cloud

FINDING, CLEANING = ("HeadObject",), ("HeadObject", "DeleteObject")
_KEYS_SECONDS = 1800  # for finding and cleaning up; the least that COS's guide names
_TRIES = 2
_NAMELESS = ""  # an object without versions; an upload whose id never came
_UPLOAD_ID = re.compile(rb"<UploadId>([!-~]{1,512}?)</UploadId>")
_UPLOAD = re.compile(rb"<Upload>.*?</Upload>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)


def begins(request: Request) -> bool:
    """Whether a request begins a multipart upload."""
    return request.method == "POST" and "uploads" in request.params


def upload_id(answer: Answer) -> str | None:
    """COS's name of the upload that has been begun."""
    found = _UPLOAD_ID.search(answer.body) if answer.status == 200 else None
    return found[1].decode() if found else None


class Hands:
    """HeadObject, and DeleteObject where it is said, on exactly these keys; keeps what may have been made of them.

    `uploads`: those keys whose unfinished multipart uploads may be found, and aborted like objects are deleted.
    """

    def __init__(
        self, cloud: Cloud, route: Route, keys: Iterable[str], actions: Iterable[str], uploads: Iterable[str] = ()
    ) -> None:
        self._cloud = cloud
        self._route = route
        self._objects: dict[str, set[str]] = {}  # the versions of each key
        self._uploads: dict[str, set[str]] = {}  # the ids of each key
        self._credential = cloud.issue(_scope(route, sorted(set(keys)), tuple(actions), sorted(set(uploads))))

    @property
    def busy(self) -> bool:
        """Whether there is anything to clean up."""
        return bool(self._objects or self._uploads)

    def watch(self, request: Request, ask: Callable[[], Answer]) -> Answer:
        """What `ask` answers to a request. What that may make is remembered before: an answer may never come."""
        if begins(request):
            return self._watch_upload(request.key, ask)
        # What is done to an upload makes an object only when it completes it.
        makes = request.method == "POST" or (request.method == "PUT" and "uploadId" not in request.params)
        new = makes and request.key not in self._objects
        if makes:
            self.suspect(request.key)
        answer = ask()
        refused = answer.status in (403, 405)
        if refused and new:
            del self._objects[request.key]
        version = answer.headers.get("x-cos-version-id")
        # In a versioned bucket a deletion makes something, too: a marker.
        if version and not refused and (makes or request.method == "DELETE"):
            self._objects.setdefault(request.key, set()).add(version)
        return answer

    def _watch_upload(self, key: str, ask: Callable[[], Answer]) -> Answer:
        ids = self._uploads.setdefault(key, set())
        doubted = _NAMELESS in ids
        ids.add(_NAMELESS)
        answer = ask()
        begun = upload_id(answer)
        if begun:
            ids.add(begun)
        if (begun or 400 <= answer.status < 500) and not doubted:
            ids.discard(_NAMELESS)
        if not ids:
            del self._uploads[key]
        return answer

    def suspect(self, key: str) -> None:
        """Remember that there may be an object."""
        self._objects.setdefault(key, set())

    def find(self, key: str) -> tuple[bool | None, str]:
        """(whether an object exists or None if it cannot be told, what COS said)."""
        try:
            answer = self._ask("HEAD", key)
        except NoAnswer as error:
            return None, str(error)
        return {200: True, 404: False}.get(answer.status), str(answer.status)

    def find_uploads(self, key: str) -> tuple[set[str] | None, str]:
        """(the ids of a key's unfinished uploads or None if it cannot be told, what COS said)."""
        try:
            answer = self._ask("GET", "", {"uploads": "", "prefix": key})
        except NoAnswer as error:
            return None, str(error)
        if answer.status != 200 or b"<ListMultipartUploadsResult" not in answer.body:
            return None, f"{answer.status} {answer.code}".rstrip()
        return set(_ids(answer.body, key)), "200"

    def clean(self) -> list[str]:
        """Abort and delete what may have been made, one by one; what could not be, with the reason."""
        return [*self._abort(), *self._delete()]

    def _abort(self) -> Iterator[str]:
        for key, ids in sorted(self._uploads.items()):
            missed = []
            if _NAMELESS in ids:
                found, said = self.find_uploads(key)
                missed += [f"GET ?uploads got {said}"] if found is None else []
                ids |= found or set()
            missed += self._missed(key, [{"uploadId": one} for one in sorted(ids - {_NAMELESS})])
            if missed:
                yield f"an upload of {key} ({missed[0]})"
            else:
                del self._uploads[key]

    def _delete(self) -> Iterator[str]:
        for key, versions in sorted(self._objects.items()):
            missed = self._missed(key, [{"versionId": one} for one in sorted(versions)] or [{}])
            if missed:
                yield f"{key} ({missed[0]})"
            else:
                del self._objects[key]

    def _missed(self, key: str, each: Iterable[Mapping[str, str]]) -> list[str]:
        """Why some of these could not be removed."""
        return [reason for params in each if (reason := self._remove(key, params)) is not None]

    def _remove(self, key: str, params: Mapping[str, str]) -> str | None:
        reason = ""
        for _ in range(_TRIES):
            try:
                answer = self._ask("DELETE", key, params)
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


def _ids(listing: bytes, key: str) -> Iterator[str]:
    # The prefix that was asked for is also that of longer keys, whose uploads are others'.
    for upload in _UPLOAD.findall(listing):
        of, begun = _KEY.search(upload), _UPLOAD_ID.search(upload)
        if of and begun and html.unescape(of[1].decode()) == key:
            yield begun[1].decode()


def _scope(route: Route, keys: list[str], actions: tuple[str, ...], uploads: list[str]) -> Scope:
    document, terms = route.document, route.document.credential

    def statement(names: Iterable[str], keys: Iterable[str], condition: cam.Condition) -> dict[str, object]:
        resources = [cam.resource(document.region, document.bucket, key) for key in keys]
        return cam.statement([f"name/cos:{name}" for name in names], resources, condition)

    aborting = ("AbortMultipartUpload",) if uploads and "DeleteObject" in actions else ()
    statements = [statement((*actions, *aborting), keys, {})]
    if uploads:
        prefixes = {"string_equal": {"cos:prefix": [quote(key, safe="") for key in uploads]}}
        statements.append(statement(["ListMultipartUploads"], [""], prefixes))
    text = cam.compact(cam.document(statements))
    return Scope(text, min(_KEYS_SECONDS, terms.duration_seconds), terms.role_arn, terms.external_id)
