"""The bucket's CORS rule at work: how `cos.cors`, which `broker cors` prints rules of, answers a browser."""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from broker.cos import cors
from broker.cos.cors import Rule
from broker.emulator.refusals import CosError

# All that rules of `broker cors` can hold, and pages of any origin, since this is loopback.
EVERYTHING = Rule("everything", origins=(cors.ANY,), methods=cors.METHODS, headers=(cors.ANY,))


def preflight(request: Request, rule: Rule) -> Response:
    """The answer to OPTIONS, which browsers send unsigned. Raises CosError."""
    origin = request.headers.get("Origin", "")
    method = request.headers.get("Access-Control-Request-Method", "")
    told = rule.answer(origin, method, request.headers.get("Access-Control-Request-Headers", ""))
    if told is None:
        wanted = f"{', '.join(rule.methods)} with {', '.join(rule.headers)} from {', '.join(rule.origins)}"
        raise CosError("AccessDenied", f"AccessForbidden: the CORS rule takes {wanted}; got {method!r} of {origin!r}.")
    answer = Response()
    answer.headers.update(told)
    return answer


def expose(request: Request, response: Response, rule: Rule) -> None:
    """Let the page that asked read the answer, refusals included."""
    origin = request.headers.get("Origin", "")
    if rule.admits(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(cors.EXPOSED)
        response.vary.add("Origin")
