"""What a change of policies widens or narrows, in words, for the operator who is about to make it.

Fields are compared as the typed documents hold them, so a default that is spelled out equals one that is left out. What
a change means is in `judging`; a field without a judge there is told as `changes`, never passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.policy.document import Content, Principals
from broker.policy.judging import ADMITTED, KINDS, Change, Effect, canonical, judge, unjudged
from broker.policy.operations import told_methods
from broker.policy.routes import Route

_NO_PERMISSION = frozenset({"$schema", "description", "tests"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a route that is not as it was; `field` is empty if the whole route came or went."""

    route: str
    field: str
    effect: Effect
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.route, self.effect, self.field, self.message) if part)


def differences(old: Mapping[str, Route], new: Mapping[str, Route]) -> list[Difference]:
    """All that `new` grants otherwise than `old`, by route name, then in the order of a policy's fields."""
    found: list[Difference] = []
    for name in sorted({*old, *new}):
        if name not in old:
            found.append(Difference(name, "", "widens", f"new route: {_grant(new[name])}"))
        elif name not in new:
            found.append(Difference(name, "", "narrows", f"route removed: {_grant(old[name])}"))
        else:
            found += _between(name, old[name], new[name])
    return found


def _between(name: str, before: Route, after: Route) -> Iterator[Difference]:
    for change in _changes(Change(before, after, (), _terms(before), _terms(after))):
        field = ".".join(step for step in change.path if step != ADMITTED)
        for effect, message in (judge(change) or unjudged)(change):
            yield Difference(name, field, effect, message)


def _changes(change: Change) -> Iterator[Change]:
    """The fields that differ: those that have a judge, and what has no members to go into."""
    if canonical(change.old) == canonical(change.new):
        return
    sides = (change.old, change.new)
    if judge(change) is None and any(sides) and all(side is None or isinstance(side, dict) for side in sides):
        old, new = change.old or {}, change.new or {}
        for name in {**old, **new}:
            yield from _changes(replace(change, path=(*change.path, name), old=old.get(name), new=new.get(name)))
    else:
        yield change


def _terms(route: Route) -> dict[str, Any]:
    """What a document permits, as JSON has it: with defaults, and each entry's kind in a member of its own."""
    dump = route.document.model_dump(mode="json", by_alias=True)
    terms = {name: value for name, value in dump.items() if name not in _NO_PERMISSION}
    terms["principals"] = terms["principals"] or Principals.model_construct().model_dump(mode="json")
    terms["content"] = terms["content"] or Content.model_construct().model_dump(mode="json")
    terms["credential"]["scope"] = route.scope_name
    terms["headers"] = {name.lower(): rule for name, rule in terms["headers"].items()}
    terms["condition"] = {
        operator: {key: value if isinstance(value, list) else [value] for key, value in keys.items()}
        for operator, keys in terms["condition"].items()
    }
    for entries in (terms["principals"]["claims"], terms["inputs"], terms["headers"], terms["params"]):
        entries.update({name: _entry(rule) for name, rule in entries.items()})
    return terms


def _entry(rule: Mapping[str, Any]) -> dict[str, Any]:
    kind = {name: rule[name] for name in KINDS if rule.get(name) is not None}
    others = {name: value for name, value in rule.items() if name not in KINDS}
    if "enum" in kind:
        others.pop("max_length", None)  # its default binds only what is not listed
    return {ADMITTED: kind or None, **others}


def _grant(route: Route) -> str:
    document, principals = route.document, route.document.principals
    who = "any authenticated principal"
    if principals is not None:
        rules = [f"{name} {canonical(rule.model_dump(exclude_none=True))}" for name, rule in principals.claims.items()]
        who = "everyone" if principals.anonymous else f"principals with {', '.join(rules)}"
    told = told_methods(document)
    methods = f" ({', '.join(told)})" if told else ""
    return f"vends {', '.join(document.vends)}{methods} of {document.bucket}/{document.key} to {who}"
