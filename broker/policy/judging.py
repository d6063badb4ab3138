"""Whether a change of one field of a policy widens or narrows what its route grants, and in which words.

Each field has a judge in the table at the end. A field is judged alone, by both versions of the route around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from broker import rates
from broker.patterns import Pattern
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims, Template
from broker.policy.values import ATTACHMENT, DISPOSITION

Effect = Literal["widens", "narrows", "changes"]
Found = Iterator[tuple[Effect, str]]  # (effect, message)

_SHOWN_CHARACTERS = 120
KINDS = ("const", "enum", "contains", "pattern")
ADMITTED = "<admitted>"  # the member of an entry that holds its one kind; no field's name
_WIDTHS = ("object", "principal", "route")
# Constants that protect: (header or parameter, the values that do, what their loss allows, what they forbid).
_GUARDS = {
    "x-cos-forbid-overwrite": (re.compile("true"), "objects may be overwritten", "no object is overwritten"),
    "content-disposition": (ATTACHMENT, "browsers may show objects", "browsers save objects as files"),
    DISPOSITION: (ATTACHMENT, "browsers may show objects", "browsers save objects as files"),
}

# What may be: one of KINDS, `ranges` (media types) or nothing, which is anything.
_Rule = Mapping[str, Any]
_ANYTHING: _Rule = {}
_NOTHING: _Rule = {"enum": []}


@dataclass(frozen=True, slots=True)
class Change:
    """One field in both versions of a route, None where it is absent. As text: both values."""

    before: Route
    after: Route
    path: tuple[str, ...]
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{shown(self.old)} -> {shown(self.new)}"


Judge = Callable[[Change], Found]


def unjudged(change: Change) -> Found:
    """The judgement on a field that has no judge."""
    yield "changes", str(change)


def _other(meaning: str) -> Judge:
    """Neither more nor less, but something else."""

    def judge(change: Change) -> Found:
        yield "changes", f"{change}: {meaning}"

    return judge


def _number(more: str, less: str, absent: float | None = None) -> Judge:
    """The larger, the wider. `absent` is what no number stands for; None: another field tells why it is absent."""

    def judge(change: Change) -> Found:
        old, new = (absent if side is None else side for side in (change.old, change.new))
        if old is not None and new is not None and old != new:
            yield ("widens", f"{change}: {more}") if new > old else ("narrows", f"{change}: {less}")

    return judge


def _flag(on: str, off: str, *, wide: bool = True) -> Judge:
    """On or off; `wide` is the value that permits more."""

    def judge(change: Change) -> Found:
        if bool(change.old) != bool(change.new):
            yield "widens" if bool(change.new) is wide else "narrows", f"{change}: {on if change.new else off}"

    return judge


def _choice(absent: _Rule, more: str, fewer: str, kind: str = "enum") -> Judge:
    """What may be: a rule, or values of this kind. `absent` is the rule that no rule stands for."""

    def rule(side: Any) -> _Rule:
        if side is None or isinstance(side, dict):
            return absent if side is None else side
        return {kind: side if isinstance(side, list) else [side]}

    def judge(change: Change) -> Found:
        old, new = rule(change.old), rule(change.new)
        sides = " -> ".join(shown(side) if rule(side) else "anything" for side in (change.old, change.new))
        meaning = {"widens": more, "narrows": fewer, "changes": "other values"}
        for effect, values in _compared(old, new):
            yield effect, f"{values or sides}: {meaning[effect]}"

    return judge


def _compared(old: _Rule, new: _Rule) -> Found:
    """(effect, values that come or go) of two rules; no values unless both list theirs."""
    listed_old, listed_new = _listed(old), _listed(new)
    if listed_old is not None and listed_new is not None:
        if added := [value for value in listed_new if not _admits(old, value)]:
            yield "widens", f"adds {shown(added)[1:].removesuffix(']')}"
        if removed := [value for value in listed_old if not _admits(new, value)]:
            yield "narrows", f"takes away {shown(removed)[1:].removesuffix(']')}"
    else:
        yield "widens" if _within(old, new) else "narrows" if _within(new, old) else "changes", ""


def _listed(rule: _Rule) -> list[Any] | None:
    """The values that a rule lists; None if it admits what it does not list."""
    return [rule["const"]] if "const" in rule else rule.get("enum", rule.get("ranges"))


def _within(inner: _Rule, outer: _Rule) -> bool:
    """Whether `outer` is known to admit all that `inner` does; of two patterns nothing is known."""
    listed = _listed(inner)
    return not outer or (listed is not None and all(_admits(outer, value) for value in listed))


def _admits(rule: _Rule, value: Any) -> bool:
    if "pattern" in rule:
        return isinstance(value, str) and Pattern(rule["pattern"]).matches(value)
    if "contains" in rule:
        return isinstance(value, str) and rule["contains"] in value.split(" ")
    if "ranges" in rule:
        return any(value == one or (one.endswith("/*") and value.startswith(one[:-1])) for one in rule["ranges"])
    return not rule or canonical(value) in map(canonical, _listed(rule) or [])


_ASKED = _choice(_NOTHING, "may be asked for", "no longer to be asked for")


def _carried(change: Change) -> Found:
    """A header or parameter: a const is added by the broker, anything else may be asked for."""
    name, sides = change.path[1], (change.old, change.new)
    if name == "x-cos-acl":
        yield from _acl(change)
        return
    guarded, guards = (_guards(name, rule) for rule in sides)
    constants = [rule for rule in sides if rule is not None and "const" in rule]
    if guarded != guards:
        _, lost, kept = _GUARDS[name]
        yield ("widens", f"{change}: {lost}") if guarded else ("narrows", f"{change}: {kept}")
        return
    only_added = len(constants) == 2 or (constants and None in sides)
    asked = [] if only_added else list(_ASKED(change))
    if constants and not asked:
        yield "changes", f"{change}: the broker adds something else"
    yield from asked


def _acl(change: Change) -> Found:
    """The ACLs that objects may get; none is the bucket's own."""
    sides = [_NOTHING if rule is None else rule for rule in (change.old, change.new)]
    added, removed = ([one for one in _listed(b) or [] if not _admits(a, one)] for a, b in (sides, sides[::-1]))
    opened, closed = ([one for one in values if str(one).startswith("public-")] for values in (added, removed))
    if opened or closed:
        yield ("widens", f"{change}: everyone may read") if opened else ("narrows", f"{change}: not everyone may read")
    else:
        yield "changes", f"{change}: objects get other ACLs"


def _guards(name: str, rule: _Rule | None) -> bool:
    return name in _GUARDS and _GUARDS[name][0].fullmatch((rule or {}).get("const", "")) is not None


def _part(change: Change) -> Found:
    """An input that comes or goes with its place in the key."""
    sides = " -> ".join(shown(side and _as_written(side)) for side in (change.old, change.new))
    yield "changes", f"{sides}: the key has other parts"


def _as_written(entry: Mapping[str, Any]) -> dict[str, Any]:
    members = {**(entry[ADMITTED] or {}), **entry}
    return {name: value for name, value in members.items() if name != ADMITTED and value is not None}


def _moves(place: str) -> Judge:
    """Another place: what credentials reach, in this form."""

    def judge(change: Change) -> Found:
        yield "changes", f"{change}: {_moved(change, place)}"

    return judge


def _moved(change: Change, place: str = "{reach}") -> str:
    old, new = (
        place.format(reach=reach(route), bucket=route.document.bucket, region=route.document.region)
        for route in (change.before, change.after)
    )
    return f"credentials reach {new}, as before" if old == new else f"credentials reach {new} instead of {old}"


def _key(change: Change) -> Found:
    old, new = change.before.template, change.after.template
    effect: Effect = "widens" if _holds(new, old) else "narrows" if _holds(old, new) else "changes"
    yield effect, f"{change}: {_moved(change)}"


def _holds(outer: Template, inner: Template) -> bool:
    """Whether the folder of one template, claims as they stand, is a proper parent of the other's."""
    parent, child = (template.prefix(_placeholders(template)) for template in (outer, inner))
    return parent != child and child.startswith(parent) and (not parent or parent.endswith("/"))


def _rate(change: Change) -> Found:
    old, new = (None if side is None else rates.parse(side) for side in (change.old, change.new))
    if old == new:
        return  # written otherwise
    if new is None or (old is not None and new.covers(old)):
        yield "widens", f"{change}: each principal may have more requests signed"
    elif old is None or old.covers(new):
        yield "narrows", f"{change}: each principal may have fewer requests signed"
    else:
        more, less = ("at once", "in the long run") if new.units > old.units else ("in the long run", "at once")
        yield "changes", f"{change}: each principal may have more requests signed {more}, and fewer {less}"


def _scope(change: Change) -> Found:
    wider = _WIDTHS.index(change.new) > _WIDTHS.index(change.old)
    yield "widens" if wider else "narrows", f"{change}: {_moved(change)}"


# A star is any one name; the first row that fits counts.
_JUDGES: Mapping[str, Judge] = {
    "principals.anonymous": _flag("everyone may ask, without credentials", "only principals may ask"),
    f"principals.claims.*.{ADMITTED}": _choice(_ANYTHING, "more principals may ask", "fewer principals may ask"),
    "vends": _choice(_NOTHING, "more endpoints", "fewer endpoints"),
    "methods": _choice(_NOTHING, "more may be done to objects", "less may be done to objects"),
    "bucket": _moves("{bucket}/{reach}"),
    "region": _moves("{bucket}/{reach} in {region}"),
    "endpoint": _other("signed requests go to another host"),
    "key": _key,
    f"inputs.*.{ADMITTED}": _choice(_ANYTHING, "callers may name more keys", "callers may name fewer keys"),
    "inputs.*.type": _flag("values may hold several segments", "values hold one segment"),
    "inputs.*.max_length": _number("longer values", "shorter values"),
    "content.types": _choice(_ANYTHING, "uploads of more types", "uploads of fewer types", "ranges"),
    "content.max_bytes": _number("longer uploads", "shorter uploads", absent=float("inf")),
    "content.part_bytes": _other("parts of another size"),
    f"headers.*.{ADMITTED}": _carried,
    "headers.*.required": _flag("must be asked for", "may be left out", wide=False),
    f"params.*.{ADMITTED}": _carried,
    "params.*.required": _flag("must be asked for", "may be left out", wide=False),
    "expires.default_seconds": _number(
        "links live longer, unless asked otherwise", "links live shorter, unless asked otherwise"
    ),
    "expires.max_seconds": _number("links may live longer", "links may live less long"),
    "expires.window_seconds": _number("links live longer", "links live shorter", absent=0),
    "credential.scope": _scope,
    "credential.duration_seconds": _number("credentials live longer", "credentials live shorter"),
    "credential.role_arn": _other("another role, or none, gives the credentials"),
    "credential.external_id": _other("another name for the role to know the broker by"),
    "credential.min_remaining_seconds": _number("handed-out keys live longer", "handed-out keys may end sooner"),
    "credential.shared_writes": _flag("one credential may write for all", "no credential may write for all"),
    "rate": _rate,
    "condition.ip_equal.*": _choice(_ANYTHING, "more requests satisfy it", "fewer requests satisfy it"),
    "condition.string_equal.*": _choice(_ANYTHING, "more requests satisfy it", "fewer requests satisfy it"),
    # Of other operators nothing is known but that each narrows.
    "condition.*.*": _choice(_ANYTHING, "more requests satisfy it", "fewer requests satisfy it", "unknown"),
}
# Entries that are told whole if they come or go.
_WHOLE: Mapping[str, Judge] = {"inputs.*": _part}


def reach(route: Route) -> str:
    """What one credential of a route reaches, with placeholders as they stand in the key."""
    return route.reached(_placeholders(route.template), route.template.text)


def _placeholders(template: Template) -> ProvenClaims:
    return ProvenClaims({name: f"{{principal.{name}}}" for name in template.claims})


def canonical(value: Any) -> str:
    """A value as JSON; equal ones have equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def shown(value: Any) -> str:
    """A value for a message, cut."""
    text = "absent" if value is None else canonical(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def judge(change: Change) -> Judge | None:
    """The judge of a field, or None."""
    table = {**_WHOLE, **_JUDGES} if None in (change.old, change.new) else _JUDGES
    for field, judge in table.items():
        names = field.split(".")
        if len(names) == len(change.path) and all(
            name in ("*", step) for name, step in zip(names, change.path, strict=True)
        ):
            return judge
    return None
