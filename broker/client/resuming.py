"""How far a multipart upload got: all that is needed to go on in another call, process or day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from broker.client.errors import LocalFileError
from broker.client.slices import Source


@dataclass(frozen=True, slots=True)
class UploadState:
    """One upload that has begun. It holds no secret: whoever resumes it asks the broker as itself.

    `parts` are the ETags of the finished parts by number from 1; every part but the last has `part_bytes` bytes.
    `size` and `modified_ns` (nanoseconds of Unix time) are the file's, which must not change meanwhile.
    """

    route: str
    key: str
    upload_id: str
    size: int
    modified_ns: int
    part_bytes: int
    parts: Mapping[int, str]

    @property
    def part_count(self) -> int:
        """How many parts the whole has: at least one, since there is no upload of an empty file."""
        return -(-self.size // self.part_bytes)

    def stretch(self, number: int) -> tuple[int, int]:
        """(first byte, length) of a part in the file."""
        start = (number - 1) * self.part_bytes
        return start, min(self.part_bytes, self.size - start)

    def check(self, route: str, source: Source) -> None:
        """Raise LocalFileError if a file is not the one that this upload began with; ValueError on another route."""
        if route != self.route:
            raise ValueError(f"the upload to resume belongs to route {self.route!r}, got {route!r}")
        if (source.size, source.modified_ns) != (self.size, self.modified_ns):
            raise LocalFileError(f"{source.path} has changed since the upload began")

    def to_json(self) -> str:
        """The state as text, to be kept somewhere."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UploadState:
        """The state that `to_json` wrote. Raises ValueError, KeyError or TypeError for any other text."""
        kept = json.loads(text)
        parts = {int(number): str(etag) for number, etag in kept.pop("parts").items()}
        return cls(**kept, parts=parts)
