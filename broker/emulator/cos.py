"""COS: from a signed request to an object, or to the refusal that the real one would give.

Authentication, then the session policy, then the operation. ACLs, versions, tags and storage classes are not kept.

Specification: https://cloud.tencent.com/document/product/436/7749 (PUT), /7753 (GET), /7745 (HEAD), /7743 (DELETE),
/7735 (HEAD Bucket)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from werkzeug.wrappers import Request, Response

from broker.emulator import actions, constraints, contents, cors, forms, listings, multipart, posts, reading, refusals
from broker.emulator.buckets import Buckets
from broker.emulator.cors import Rules
from broker.emulator.multipart import Multipart
from broker.emulator.objects import Objects, Stored, simple_etag
from broker.emulator.reading import KEPT
from broker.emulator.received import MAX_KEY_BYTES, Received, receive, target
from broker.emulator.refusals import CosError
from broker.emulator.sessions import Session, Sessions
from broker.emulator.uploads import Uploads
from broker.emulator.verification import authenticate, authenticate_form

MAX_OBJECT_BYTES = 5 * 1024**3


class Cos:
    """The store. `arrive` is told each action before anything else; it may return the code of an injected fault.

    `rules` tells the CORS rules of every bucket.
    """

    def __init__(
        self,
        sessions: Sessions,
        buckets: Buckets,
        objects: Objects,
        uploads: Uploads,
        clock: Callable[[], float],
        arrive: Callable[[str], str | None],
        rules: Rules,
    ) -> None:
        self._sessions = sessions
        self._buckets = buckets
        self._objects = objects
        self._clock = clock
        self._arrive = arrive
        self._rules = rules
        parts = Multipart(objects, uploads, clock)
        self._operations: dict[str, Callable[[Request, Received], Response]] = {
            "PutObject": self._put,
            "GetObject": self._get,
            "HeadObject": self._head,
            "DeleteObject": self._delete,
            "GetBucket": lambda _, received: listings.objects(objects, received),
            "HeadBucket": _head_bucket,
            "InitiateMultipartUpload": parts.initiate,
            "UploadPart": parts.put,
            "ListParts": lambda _, received: listings.parts(multipart.find(uploads, received), received),
            "CompleteMultipartUpload": parts.complete,
            "AbortMultipartUpload": parts.abort,
            "ListMultipartUploads": lambda _, received: listings.uploads(uploads.of(received.place.bucket), received),
        }

    def answer(self, request: Request) -> Response:
        """The response to one request, refusals and preflights included."""
        request_id = refusals.request_id()
        try:
            response = self._preflight(request) if request.method == "OPTIONS" else self._perform(request)
        except CosError as error:
            resource = request.headers.get("Host", "") + target(request)[0]
            response = refusals.response(error, resource, request_id)
        response.headers["Server"] = "tencent-cos"
        response.headers["x-cos-request-id"] = request_id
        cors.expose(request, response, self._rules)
        return response

    def _preflight(self, request: Request) -> Response:
        self._meet("OptionsObject")
        return cors.preflight(request, self._rules)

    def _perform(self, request: Request) -> Response:
        place = self._buckets.locate(request.headers.get("Host", ""))
        received = receive(request, place)
        operation = actions.operation(received)
        self._meet(operation.action)
        if operation.action == "PostObject" and not received.key and forms.is_form(request):
            return self._post(request, received)
        session = authenticate(received, self._sessions, self._clock())
        _check_shape(request, received)
        _check_key(received)
        self._admit(session, received, operation.action)
        if not operation.served:
            raise CosError("NotImplemented", f"The emulator does not serve {operation.action} in this form.")
        return self._operations[operation.action](request, received)

    def _meet(self, action: str) -> None:
        if code := self._arrive(action):
            raise CosError(code)

    def _admit(self, session: Session, received: Received, action: str) -> None:
        _authorise(session, received, action)
        self._buckets.learn([(received.place.bucket, received.place.region)])

    def _post(self, request: Request, received: Received) -> Response:
        _check_shape(request, received)
        form, now = forms.parse(request), self._clock()
        session = authenticate_form(form, self._sessions, now)
        constraints.check(form, received.place.bucket, now)
        received = replace(received, key=form.key)
        _check_key(received)
        self._admit(session, received, "PostObject")
        stored = posts.stored(form, int(now))
        response = posts.answer(form, received, stored.etag)
        self._objects.put(received.place.bucket, received.key, stored, overwrite=True)
        return response

    def _put(self, request: Request, received: Received) -> Response:
        body = contents.body(request)
        contents.check_md5(received.headers.get("content-md5"), body)
        stored = Stored(body, contents.kept(received.headers), int(self._clock()), simple_etag(body))
        overwrite = contents.may_overwrite(received.headers)
        if not self._objects.put(received.place.bucket, received.key, stored, overwrite=overwrite):
            raise CosError("FileAlreadyExists")
        response = reading.empty(200)
        response.headers["ETag"] = stored.etag
        return response

    def _get(self, request: Request, received: Received) -> Response:
        stored = self._find(received)
        response = reading.unless_modified(request, stored) or reading.whole_or_part(request, stored)
        overridden = {
            name: received.params[f"response-{name}"] for name in KEPT if f"response-{name}" in received.params
        }
        reading.describe(response, stored, {**stored.headers, **overridden})
        return response

    def _head(self, request: Request, received: Received) -> Response:
        stored = self._find(received)
        response = reading.unless_modified(request, stored) or reading.empty(200)
        if response.status_code == 200:
            response.content_length = len(stored.body)
        reading.describe(response, stored, stored.headers)
        return response

    def _delete(self, request: Request, received: Received) -> Response:
        _check_version(received)
        self._objects.delete(received.place.bucket, received.key)
        return reading.empty(204)

    def _find(self, received: Received) -> Stored:
        stored = self._objects.find(received.place.bucket, received.key)
        if stored is None:
            raise CosError("NoSuchKey")
        _check_version(received)
        return stored


def _head_bucket(_: Request, received: Received) -> Response:
    response = reading.empty(200)
    response.headers["x-cos-bucket-region"] = received.place.region
    return response


def _check_version(received: Received) -> None:
    if received.params.get("versionid", "") not in ("", "null"):
        raise CosError("NoSuchVersion")


def _check_key(received: Received) -> None:
    if len(received.key.encode()) > MAX_KEY_BYTES:
        raise CosError("KeyTooLong", f"The key is longer than {MAX_KEY_BYTES} bytes.")


def _check_shape(request: Request, received: Received) -> None:
    if received.method == "PUT" and request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        raise CosError("MissingContentLength")
    if "Transfer-Encoding" in request.headers and "Content-Length" in request.headers:
        # RFC 9112, 6.3: such a message ought to be handled as an error. Whether COS does is for `probe` to tell.
        raise CosError("InvalidArgument", "A body has either a Content-Length or a Transfer-Encoding.")
    if (request.content_length or 0) > MAX_OBJECT_BYTES:
        raise CosError("EntityTooLarge", f"An object that comes in one piece has at most {MAX_OBJECT_BYTES} bytes.")


def _authorise(session: Session, received: Received, action: str) -> None:
    values = actions.values(received)
    try:
        allowed = [session.allows(name, resource, values) for name, resource in actions.needs(received, action)]
    except ValueError as error:  # an unknown condition, too
        raise CosError("InternalError", f"The emulator cannot evaluate the session policy: {error}.") from error
    if not all(allowed):
        raise CosError("AccessDenied")
