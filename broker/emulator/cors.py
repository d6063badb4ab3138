"""The bucket's CORS rule, as `broker cors` prints it for operators: any origin here, since this is loopback.

Specification: OPTIONS Object, https://cloud.tencent.com/document/product/436/8288
"""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from broker.emulator.refusals import CosError

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
EXPOSED = "ETag, Content-Length, x-cos-request-id"
MAX_AGE_SECONDS = 600


def preflight(request: Request) -> Response:
    """The answer to OPTIONS, which browsers send unsigned."""
    origin = request.headers.get("Origin", "")
    method = request.headers.get("Access-Control-Request-Method", "")
    if not origin or method not in METHODS:
        wanted = f"an Origin and a method of {', '.join(METHODS)}"
        raise CosError("AccessDenied", f"AccessForbidden: the CORS rule takes {wanted}, got {origin!r}, {method!r}.")
    answer = Response()
    answer.headers["Access-Control-Allow-Methods"] = ", ".join(METHODS)
    if names := request.headers.get("Access-Control-Request-Headers"):
        answer.headers["Access-Control-Allow-Headers"] = names
    answer.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
    return answer


def expose(request: Request, response: Response) -> None:
    """Let the page that asked read the answer, refusals included."""
    origin = request.headers.get("Origin")
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        response.vary.add("Origin")
