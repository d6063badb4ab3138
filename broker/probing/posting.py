"""A form as a browser sends it: multipart/form-data (RFC 7578), the file last."""

from __future__ import annotations

from collections.abc import Mapping

from broker.policy.uuids import fresh_uuid


def encoded(fields: Mapping[str, str], file: bytes, size: int) -> tuple[dict[str, str], bytes]:
    """(headers, body) of a form whose file has `size` bytes; of a shorter `file` the body ends where the rest would be.

    Names and values are those of a signed form: no line ends, no quotation marks in names.
    """
    boundary = fresh_uuid()
    disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{disposition}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    opening = f'{disposition}"file"; filename="probe"\r\nContent-Type: application/octet-stream\r\n\r\n'
    before, after = "".join([*parts, opening]).encode(), f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(before) + size + len(after)),
    }
    return headers, before + file + (after if len(file) == size else b"")
