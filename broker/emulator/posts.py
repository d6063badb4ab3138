"""What becomes of a POST Object form that may be stored: the object, and the answer that the form asks for.

Specification: "POST Object", https://cloud.tencent.com/document/product/436/14690
"""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from werkzeug.wrappers import Response

from broker.emulator import contents, markup, reading
from broker.emulator.forms import Form
from broker.emulator.objects import Stored, simple_etag
from broker.emulator.received import Received
from broker.emulator.refusals import CosError

_STATUSES = {"200": 200, "201": 201, "204": 204}
_URL = re.compile(r"https?://[\x21-\x7e]+")
# Kept of a PUT, but no field of a form.
_NO_FIELD = "content-language"


def stored(form: Form, now: int) -> Stored:
    """The object of a form; the type that the browser gives the file counts for nothing."""
    contents.check_md5(form.fields.get("content-md5"), form.file)
    headers = contents.kept({name: value for name, value in form.fields.items() if name != _NO_FIELD})
    for name, value in headers.items():
        if not value.isprintable():
            raise CosError("InvalidArgument", f"The value of {name} is no header value.")
    return Stored(form.file, headers, now, simple_etag(form.file))


def answer(form: Form, received: Received, etag: str) -> Response:
    """The redirect that the form asks for, else its status; 204 if it asks for none. Raises CosError, so ask first."""
    redirect, status = form.fields.get("success_action_redirect"), form.fields.get("success_action_status", "204")
    if redirect:
        response, location = reading.empty(303), _redirect(redirect, received, etag)
    elif status not in _STATUSES:
        raise CosError(
            "InvalidArgument", f"success_action_status must be one of {', '.join(_STATUSES)}, got {status!r}."
        )
    else:
        location = received.location()
        named = [("Location", location), ("Bucket", received.place.bucket), ("Key", received.key), ("ETag", etag)]
        response = markup.response("PostResponse", named, 201) if status == "201" else reading.empty(_STATUSES[status])
    response.headers["ETag"] = etag
    response.headers["Location"] = location
    return response


def _redirect(url: str, received: Received, etag: str) -> str:
    try:
        sound = _URL.fullmatch(url) is not None and bool(urlsplit(url).hostname)
    except ValueError:
        sound = False
    if not sound:
        raise CosError("InvalidArgument", f"success_action_redirect must be an http or https URL, got {url!r}.")
    bare, mark, fragment = url.partition("#")
    told = urlencode({"bucket": received.place.bucket, "key": received.key, "etag": etag})
    return f"{bare}{'&' if '?' in bare else '?'}{told}{mark}{fragment}"
