"""A file in parts: several at a time, each repeated with a URL of its own where COS's answer allows.

A part may be sent twice, since the second replaces the first. What completes the upload is sent again only when the
list of its parts says that the upload is still there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait

from broker.client.answers import RouteDescription, SignedRequest
from broker.client.errors import BrokerClientError, StoreError, UnexpectedAnswer
from broker.client.part_urls import PartUrls
from broker.client.patience import worth_repeating
from broker.client.resuming import UploadState
from broker.client.slices import Slice, md5_of
from broker.client.store import ListedPart
from broker.client.uploads import Plan, Tally, Tools, Upload

Checkpoint = Callable[[UploadState], None]


def begin(tools: Tools, plan: Plan) -> UploadState:
    """A new upload without parts. A try whose answer is lost leaves an empty one behind. Raises BrokerClientError."""

    def attempt(number: int) -> UploadState:
        asked = tools.grants.multipart(
            plan.route, "initiate", **plan.place, headers=dict(plan.headers), size=plan.source.size
        )
        upload_id = tools.store.initiate(asked.requests[0])
        source = plan.source
        return UploadState(plan.route, asked.key, upload_id, source.size, source.modified_ns, asked.part_bytes, {})

    return tools.patience.persist(attempt)


class InParts:
    """One upload on its way; `state` says how far it is."""

    def __init__(
        self,
        tools: Tools,
        plan: Plan,
        description: RouteDescription | None,
        begun: UploadState,
        tally: Tally,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._tools = tools
        self._plan = plan
        self._confirms = description is not None and "confirm" in description.vends
        self._begun = begun
        self._parts = dict(begun.parts)
        self._tally = tally
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._halted = False

    @property
    def state(self) -> UploadState:
        """How far the upload is now."""
        with self._lock:
            return self._state()

    def run(self, concurrency: int, *, resumed: bool) -> Upload:
        """The upload, once whole. Raises BrokerClientError."""
        if resumed:
            found = self._found()
            if found is None:
                return self._ended_before()
            self._parts = found
        elif self._checkpoint is not None:
            self._checkpoint(self.state)
        begun = self._begun
        self._tally.add(sum(begun.stretch(number)[1] for number in self._parts))
        missing = [number for number in range(1, begun.part_count + 1) if number not in self._parts]
        self._send(missing, concurrency)
        self._plan.source.check()
        etag = self._complete()
        return Upload(begun.key, begun.size, etag, self.state)

    def abort(self) -> None:
        """Let COS forget the upload and its parts. Raises BrokerClientError."""
        self._tools.patience.persist(lambda number: self._tools.store.send("AbortMultipartUpload", self._one("abort")))

    def _state(self) -> UploadState:
        begun, parts = self._begun, dict(sorted(self._parts.items()))
        return UploadState(
            begun.route, begun.key, begun.upload_id, begun.size, begun.modified_ns, begun.part_bytes, parts
        )

    def _send(self, numbers: list[int], concurrency: int) -> None:
        urls = PartUrls(self._ask_parts, numbers, 2 * concurrency)
        with ThreadPoolExecutor(max(1, min(concurrency, len(numbers))), thread_name_prefix="upload") as threads:
            sent = [threads.submit(self._send_one, urls, number) for number in numbers]
            try:
                wait(sent, return_when=FIRST_EXCEPTION)
            except BaseException as error:
                self._stop(error)
                raise
        if self._failure is not None:
            raise self._failure

    def _stop(self, error: BaseException) -> None:
        """Begin no more parts. Those under way are finished, since they count when the upload is resumed.

        Not so when it was interrupted: then they end at their next block.
        """
        with self._lock:
            self._failure = self._failure or error
            self._halted = self._halted or not isinstance(error, BrokerClientError)

    def _send_one(self, urls: PartUrls, number: int) -> None:
        try:
            self._send_part(urls, number)
        except CancelledError:
            return
        except BaseException as error:
            self._stop(error)
            raise

    def _send_part(self, urls: PartUrls, number: int) -> None:
        def attempt(tried: int) -> str:
            if self._failure is not None:
                raise CancelledError
            self._plan.source.check()
            signed = urls.take(number) if tried == 0 else self._ask_parts(number, number)[0]
            with Slice(self._plan.source, *self._begun.stretch(number), self._report) as body:
                try:
                    return self._tools.store.put("UploadPart", signed, body)
                except BrokerClientError:
                    body.withdraw()
                    raise

        etag = self._tools.patience.persist(attempt)
        with self._lock:
            self._parts[number] = etag
            if self._checkpoint is not None:
                self._checkpoint(self._state())

    def _report(self, count: int) -> None:
        if self._halted:
            raise CancelledError
        self._tally.add(count)

    def _ask_parts(self, first: int, last: int) -> list[SignedRequest]:
        begun = self._begun
        asked = self._tools.grants.multipart(
            begun.route,
            "parts",
            key=begun.key,
            upload_id=begun.upload_id,
            size=begun.size,
            parts={"from": first, "to": last},
        )
        if asked.part_bytes != begun.part_bytes:
            raise UnexpectedAnswer(
                f"the route's part_bytes were {begun.part_bytes}, now {asked.part_bytes}: begin anew"
            )
        if [one.part_number for one in asked.requests] != list(range(first, last + 1)):
            raise UnexpectedAnswer(f"the broker answered other parts than {first} to {last}")
        return list(asked.requests)

    def _one(self, step: str) -> SignedRequest:
        begun = self._begun
        asked = self._tools.grants.multipart(begun.route, step, key=begun.key, upload_id=begun.upload_id)
        return asked.requests[0]

    def _listed(self) -> list[ListedPart] | None:
        """The parts that COS holds, None if it knows no such upload (any more)."""
        try:
            return self._tools.patience.persist(lambda number: self._tools.store.list_parts(self._one("list")))
        except StoreError as error:
            if error.status == 404:
                return None
            raise

    def _found(self) -> dict[int, str] | None:
        """The parts that need not be sent again: those that COS has as this file has them."""
        listed = self._listed()
        if listed is None:
            return None
        return {part.number: part.etag for part in listed if self._is_ours(part)}

    def _is_ours(self, part: ListedPart) -> bool:
        begun = self._begun
        if not 1 <= part.number <= begun.part_count or begun.stretch(part.number)[1] != part.size:
            return False
        known = begun.parts.get(part.number) or md5_of(self._plan.source, *begun.stretch(part.number))
        return known.strip('"') == part.etag.strip('"')

    def _complete(self) -> str:
        """The ETag of the object; the request is repeated only while the upload is still listed."""
        for number in range(self._tools.patience.tries):
            try:
                return self._tools.store.complete(self._one("complete"), self._parts)
            except BrokerClientError as error:
                ended = number > 0 and isinstance(error, StoreError) and error.code == "NoSuchUpload"
                if not ended and not worth_repeating(error):
                    raise
                failure = error
            if ended or self._listed() is None:
                return self._etag_of_the_object()
            self._tools.patience.pause(number)
        raise failure

    def _ended_before(self) -> Upload:
        """The upload to resume is no more: completed, if all its parts were there and the object is as large."""
        begun = self._begun
        if len(begun.parts) == begun.part_count and self._confirms:
            return Upload(begun.key, begun.size, self._etag_of_the_object(), begun)
        raise StoreError("ListParts", 404, "NoSuchUpload", "")

    def _etag_of_the_object(self) -> str:
        if not self._confirms:
            return ""
        found = self._tools.grants.confirm(self._begun.route, self._begun.key)
        if found.content_length != self._begun.size:
            raise StoreError("CompleteMultipartUpload", 404, "NoSuchUpload", "")
        return found.etag
