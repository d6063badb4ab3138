"""Whatever is generated: an accepted ask reaches the principal's own objects and no others, and the URL says no more.

What a principal may reach is computed here anew, from the claims and the literal text of each key; nothing of the
broker's own arithmetic is asked.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.cos import evaluation
from broker.cos.signing import Signer, Window
from broker.errors import RequestError
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy.asks import Ask
from broker.policy.routes import Order, Route
from tests.policy.conftest import compiled

NOW = 1_700_000_000
RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
ACTION = {"GET": "name/cos:GetObject", "PUT": "name/cos:PutObject", "DELETE": "name/cos:DeleteObject"}
UPLOAD = {"cos:content-type": "image/png", "cos:content-length": "9"}
SIGNED = {"q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list", "q-signature"}
SIGNED |= {"x-cos-security-token"}
SIGNER = Signer("AKIDTEMPORARY", "secret", "a token/+=&")

# Texts that somebody would try, and plain ones, so that many an ask is accepted.
ODD = ["*", "?", "$", "${x}", "{", "}", "\\", "%", "%2f", "%2e%2e", "/", "//", ".", "..", "../", "/..", "\x00", "\r\n"]
ODD += ["\t", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\ue000", "\u0378", "\ud800", "e\u0301", "\u212a"]
ODD += ['"', '","resource":["*"]', "\uff0f", "\uff0e\uff0e", "\uff0a", "{principal.sub}", "x" * 129, "\u6f22" * 43, ""]
PLAIN = ["u1", "u10", "u", "1", "0", "a", "-", "_", " ", "é", "\u6f22", "\U0001f600", "U1", "+", "&", "=", "#", ";"]
PLAIN += ["'", "png", ".png", "public", "files", "a.b", '"', "\uff11", "..."]
WORD = st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3).map("".join)
TEXT = st.lists(st.sampled_from(ODD + PLAIN) | st.text(max_size=3), max_size=5).map("".join)
OTHER = st.sampled_from([None, 1, True, ["u1"], {"sub": "u1"}, 1.5])


def seldom(odd: st.SearchStrategy[Any], plain: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    """Plain ones, but for one in so many."""
    return st.integers(1, one_in).flatmap(lambda drawn: odd if drawn == one_in else plain)


VALUE = seldom(TEXT, WORD, 4)
PART = seldom(TEXT, st.sampled_from(["png", "jpg"]) | WORD, 6)
CLAIM = seldom(OTHER, seldom(TEXT, WORD, 5), 12)
HEADER = seldom(TEXT, st.sampled_from(["x-cos-meta-a", "X-Cos-Meta-B"]), 4)
PARAMETER = seldom(TEXT, st.just("mode"), 4) | st.just("size")
UUID = "0b6c1b2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"


class Way(NamedTuple):
    """A route, with what is known of it here: the claims in its key, and the text that every key of a principal has.

    `own` is that text, with the claims as `{sub}`; `exact`: it is the whole key. `rest` may follow it.
    """

    route: Route
    own: str
    claims: tuple[str, ...]
    scope: str = "principal"
    exact: bool = False
    method: str = "GET"
    rest: str = "a"


def way(
    base: str,
    own: str,
    claims: str = "sub",
    *,
    exact: bool = False,
    method: str = "GET",
    rest: str = "a",
    **changes: Any,
) -> Way:
    """A compiled route with these changes."""
    scope = changes.get("credential", {}).get("scope", "principal")
    return Way(compiled(base, changes), own, tuple(claims.split()), scope, exact, method, rest)


LOOSE = {"mode": {"pattern": "(?s).*"}, "size": {"enum": ["small", "large"]}}
PATH = {"path": {"type": "path"}}
OBJECT = {"scope": "object"}
ROUTES = {
    "name": way("read", "files/{sub}/", params=LOOSE),
    "path": way("read", "files/{sub}/", key="files/{principal.sub}/{path}", inputs=PATH, params=LOOSE),
    "object": way("read", "files/{sub}/", key="files/{principal.sub}/{path}", inputs=PATH, credential=OBJECT),
    "two claims": way("read", "t/{t}/u/{sub}/", "t sub", key="t/{principal.t}/u/{principal.sub}/{name}"),
    "three inputs": way(
        "read", "files/{sub}/", rest="a-b/c.txt", key="files/{principal.sub}/{a}-{b}/{c}.txt",
        inputs={"a": {}, "b": {}, "c": {}}
    ),
    "suffix": way("read", "profiles/{sub}.json", exact=True, key="profiles/{principal.sub}.json", inputs=...),
    "claim alone": way("read", "{sub}/", key="{principal.sub}/{name}", credential=OBJECT),
    "upload": way(
        "upload", "avatars/{sub}/", method="PUT", rest=f"{UUID}.png",
        headers={"x-cos-meta-owner": {"const": "{principal.sub}"}, "x-cos-meta-*": {"pattern": "(?s).*"}},
    ),
    "date": way(
        "upload", "days/{sub}/", method="PUT", rest=f"2026/02/28/{UUID}.jpg",
        key="days/{principal.sub}/{date:%Y/%m/%d}/{uuid}.{ext}", credential=OBJECT,
    ),
    "pattern": way("read", "files/{sub}/", **{"inputs.name": {"pattern": "[a-z0-9]+"}}),
    "keys": way("keys", "users/{sub}/"),
    "shared": way("download", "public/", "", credential={"scope": "route"}),
    "public": way("download", "public/", "", principals={"anonymous": True}, credential=OBJECT, params=LOOSE),
}  # fmt: skip


def ask_of(data: st.DataObject, way: Way, claims: Mapping[str, Any]) -> Ask:
    """An ask: by key or by inputs, near what the route takes."""
    draw, vend = data.draw, way.route.document.vends[0]
    if vend == "credentials":
        return Ask(vend)
    method = None if vend == "download-url" else way.method
    members: dict[str, Any] = {}
    if draw(st.booleans()):
        names = [*way.route.keys.inputs, *draw(seldom(st.just(["other"]), st.just([]), 10))]
        members["inputs"] = {name: draw(PART) for name in names}
    else:
        owner = {name: draw(seldom(VALUE, st.just(value), 4)) for name, value in claims.items()}
        rest = draw(seldom(TEXT, st.just(way.rest) | WORD, 4))
        members["key"] = filled(way.own, owner) + ("" if way.exact and draw(st.booleans()) else rest)
    if way.method == "PUT":
        members["headers"] = {"Content-Type": "image/png", "Content-Length": "9"}
        members["headers"] |= draw(st.dictionaries(HEADER, PART, max_size=1))
    elif draw(st.booleans()):
        members["params"] = draw(st.dictionaries(PARAMETER, PART | st.just("small"), max_size=2))
    if vend == "download-url" and draw(st.booleans()):
        members["filename"] = draw(WORD)
    return Ask(vend, method=method, **members)


def filled(form: str, claims: Mapping[str, Any]) -> str:
    """A form with claims in it; of claims that are no text, whatever Python makes of them."""
    for name, value in claims.items():
        form = form.replace(f"{{{name}}}", str(value))
    return form


def granted(way: Way, claims: Mapping[str, Any], ask: Ask) -> Order | None:
    """The order of an ask, None if it is refused: by a RequestError, or this fails."""
    principal = Principal(claims) if way.claims else ANONYMOUS if way.route.admission.anonymous else Principal(claims)
    try:
        return way.route.order(ask, way.route.admit(principal), NOW)
    except RequestError:
        return None


def resources(order: Order) -> set[str]:
    """Every resource of an order's document, as a key or a prefix with its star."""
    found = {one for entry in json.loads(order.demand.scope.document)["statement"] for one in entry["resource"]}
    assert all(one.startswith(RESOURCE) for one in found)
    return {one.removeprefix(RESOURCE) for one in found}


def neighbours(value: str) -> set[str]:
    """Names beside one name: longer, shorter, folded, composed otherwise."""
    near = {f"{value}0", f"{value}a", f"{value}.", f" {value}", f"{value} ", f"x{value}", value[:-1], value[1:]}
    near |= {value.upper(), value.lower(), value.swapcase(), value + value, "u1", "u10", "u"}
    near |= {unicodedata.normalize(form, value) for form in ("NFD", "NFKC", "NFKD")}
    return near - {value, ""}


def check_reach(way: Way, claims: Mapping[str, str], order: Order) -> None:
    """The document reaches the principal's own, and at most one star ends it."""
    own = filled(way.own, claims)
    for reach in resources(order):
        assert "*" not in reach[:-1]
        assert not set("?$\\{}%") & set(reach)
        if way.scope == "object":
            assert order.request is not None
            assert reach == order.request.key
        elif way.exact:
            assert reach == own
        else:
            assert reach == f"{own}*"
            assert own.endswith("/")
    if order.request is None:
        assert order.key_prefix == own


def check_neighbours(way: Way, claims: Mapping[str, str], order: Order) -> None:
    """The document lets the principal at the vended key, and at nobody else's."""
    document = json.loads(order.demand.scope.document)
    own = filled(way.own, claims)
    key = order.request.key if order.request else f"{own}x"
    values = UPLOAD if way.method == "PUT" else {}
    action = ACTION[way.method]
    assert evaluation.evaluate(document, action, f"{RESOURCE}{key}", values).allowed
    for other in ACTION.values() if order.request else ():
        assert other == action or not evaluation.evaluate(document, other, f"{RESOURCE}{key}", values).allowed
    for name in way.claims:
        for near in neighbours(claims[name]):
            theirs = filled(way.own, {**claims, name: near}) + key.removeprefix(own)
            assert not evaluation.evaluate(document, action, f"{RESOURCE}{theirs}", values).allowed, theirs
    for place in ("", "/", key[: key.rfind("/") + 1] if way.scope == "object" else "", f"/{key}", f"x{key}", "other/x"):
        assert not evaluation.evaluate(document, action, f"{RESOURCE}{place}", values).allowed, place


def check_url(way: Way, claims: Mapping[str, str], order: Order, ask: Ask) -> None:
    """The URL's path is the key and its query is what was admitted; headers are plain."""
    request = order.request
    assert request is not None
    key, own = request.key, filled(way.own, claims)
    assert (key == own) if way.exact else (key.startswith(own) and len(key) > len(own))
    assert ask.key in (None, key)
    assert len(key.encode()) <= 850
    check_one_url(SIGNER.presigned_url(request, Window(NOW - 60, NOW + order.expires_in)), key, request.params)
    assert set(request.params) <= {*ask.params, "response-content-disposition"}
    for name, value in request.headers.items():
        assert (name + value).isascii()
        assert (name + value).isprintable()
        assert value == value.strip()


def check_one_url(url: str, key: str, params: Mapping[str, str]) -> None:
    """A URL that is read by somebody else says the key, the parameters and the signature, each once."""
    assert url.isascii()
    assert url.isprintable()
    parts = urlsplit(url)
    assert not parts.fragment
    assert unquote(parts.path, errors="strict") == f"/{key}"
    assert not {"", ".", ".."} & set(key.split("/"))
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in key)
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    assert sorted(name for name, _ in pairs) == sorted([*SIGNED, *params])
    assert {name: value for name, value in pairs if name not in SIGNED} == params


def test_one_principal():
    """What is accepted stays with its principal in the document, before CAM and in the URL; the rest is refused."""
    accepted = Counter()

    @settings(derandomize=True, max_examples=600, deadline=None, database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(ROUTES)))
        way = ROUTES[name]
        claims = {claim: data.draw(CLAIM) for claim in ("sub", "t")}
        ask = ask_of(data, way, {claim: claims[claim] for claim in way.claims})
        order = granted(way, claims, ask)
        if order is None:
            return
        accepted[name] += 1
        assert all(isinstance(claims[claim], str) for claim in way.claims)
        check_reach(way, claims, order)
        check_neighbours(way, claims, order)
        if order.request is not None:
            check_url(way, claims, order, ask)

    check()
    # A check that sees nothing proves nothing.
    assert set(accepted) == set(ROUTES), set(ROUTES) - set(accepted)
    assert accepted.total() >= 150, accepted


def simple(way: Way) -> Ask:
    """An ask that only an unfit principal keeps from being granted."""
    document = way.route.document
    if "credentials" in document.vends:
        return Ask("credentials")
    headers = {"Content-Type": "image/png", "Content-Length": "9"} if way.method == "PUT" else {}
    inputs = dict.fromkeys(way.route.keys.inputs, "png")
    method = None if "download-url" in document.vends else way.method
    return Ask(document.vends[0], method, inputs=inputs, headers=headers)


OWNED = {name: way for name, way in ROUTES.items() if way.claims}


@settings(derandomize=True, max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_two_principals(data):
    """Principals whose claims differ share no scope and no key, and neither gets the other's key by name."""
    way = OWNED[data.draw(st.sampled_from(list(OWNED)))]
    one = {"sub": data.draw(WORD), "t": data.draw(WORD)}
    changed = data.draw(st.sampled_from(way.claims))
    near = data.draw(st.sampled_from(sorted(neighbours(one[changed]))) | VALUE)
    other = {**one, changed: near}
    if one == other:
        return
    first, second = granted(way, one, simple(way)), granted(way, other, simple(way))
    if first is None or second is None:
        return
    assert first.demand.scope != second.demand.scope
    assert first.demand.scope.fingerprint("s", "e") != second.demand.scope.fingerprint("s", "e")
    assert not resources(first) & resources(second)
    if first.request is None or second.request is None:
        return
    for claims, order in ((one, second), (other, first)):
        named = simple(way)._replace(key=order.request.key, inputs=None)
        assert granted(way, claims, named) is None


CODES = {
    400: {"malformed_json", "invalid_request"},
    401: {"unauthenticated"},
    403: {"principal_not_allowed"},
    422: {"input_not_allowed", "key_not_allowed", "param_not_allowed", "header_not_allowed", "url_too_long"},
}


@pytest.fixture(scope="module")
def whose() -> dict[str, str]:
    """Which caller every token of a credential was first given to."""
    return {}


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(sub=VALUE, value=VALUE, by_key=st.booleans(), params=st.dictionaries(st.sampled_from(["free", "mode"]), VALUE))
def test_over_http(built, whose, sub, value, by_key, params):
    """The same from the outside: refused with a code of the contract's and no STS call, or granted within one's own."""
    before = built.sts_calls()
    ask = {"key": f"names/{sub}/{value}"} if by_key else {"inputs": {"name": value}}
    answer = built.http("names/url", {"method": "GET", **ask, "params": params}, built.jwt(sub=sub))
    if answer.status != 200:
        assert answer.code in CODES[answer.status]
        assert built.sts_calls() == before
        return
    key = f"names/{sub}/{value}"
    assert answer.grant["key"] == key
    assert key.count("/") == 2
    url = answer.grant["url"]
    check_one_url(url, key, {**params, "response-content-type": "text/plain"})
    token = dict(parse_qsl(urlsplit(url).query))["x-cos-security-token"]
    assert whose.setdefault(token, sub) == sub
