"""The bucket's CORS rules at work: how `cos.cors`, which `broker cors` prints rules of, answers a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from werkzeug.wrappers import Request, Response

from broker.cos import cors
from broker.cos.cors import Rule
from broker.emulator.refusals import CosError

# All that rules of `broker cors` can hold, and pages of any origin, since this is loopback.
EVERYTHING = Rule("everything", origins=(cors.ANY,), methods=cors.METHODS, headers=(cors.ANY,))
Rules = Callable[[], Sequence[Rule]]


def preflight(request: Request, rules: Rules) -> Response:
    """The answer to OPTIONS, which browsers send unsigned: that of the first rule that has one. Raises CosError."""
    origin = request.headers.get("Origin", "")
    method = request.headers.get("Access-Control-Request-Method", "")
    headers = request.headers.get("Access-Control-Request-Headers", "")
    found = rules()
    told = next((told for rule in found if (told := rule.answer(origin, method, headers)) is not None), None)
    if told is None:
        asked = f"{method!r} with {headers!r} from {origin!r}"
        wanted = "; ".join(map(_described, found)) or "nothing"
        raise CosError("AccessDenied", f"AccessForbidden: the CORS rules take {wanted}; got {asked}.")
    answer = Response()
    answer.headers.update(told)
    return answer


def expose(request: Request, response: Response, rules: Rules) -> None:
    """Let the page that asked read the answer, refusals included."""
    origin = request.headers.get("Origin", "")
    if origin and any(rule.admits(origin) for rule in rules()):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(cors.EXPOSED)
        response.vary.add("Origin")


def _described(rule: Rule) -> str:
    return f"{', '.join(rule.methods)} with {', '.join(rule.headers) or 'no header'} from {', '.join(rule.origins)}"
