"""The JSON of a policy file -> its document, or every mistake of its shape in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from broker.policy.document import InputRule, PolicyDocument, ValueRule
from broker.policy.fields import kind, shown
from broker.policy.lines import field_name
from broker.policy.variables import nulls, substituted

# Their entries are judged one by one, unsound neighbours or not.
_BY_ENTRY = frozenset({"headers", "params"})
_IN_EXAMPLE = re.compile(r"tests\[\d+\]\.(?:as|ask)[.\[]")


_NOTHING: Mapping[str, str] = MappingProxyType({})


def parse(
    unverified: Any, variables: Mapping[str, str] = _NOTHING
) -> tuple[PolicyDocument, list[tuple[str, str]], frozenset[str]]:
    """(document, (field, message) of every mistake, fields that are unsound) of one file's JSON.

    `variables` are put in first. With unsound fields the document holds the others; `checks` looks at those, so that
    one run reports every mistake.
    """
    if not isinstance(unverified, dict):
        problem = ("", f"must be a JSON object, got {kind(unverified)}")
        return PolicyDocument.model_construct(), [problem], frozenset(_names())
    raw, problems = substituted(unverified, variables)
    # The claims and asks of examples may hold null, as tokens and bodies may.
    problems += [(field, "must not be null: leave it out") for field in nulls(raw) if not _IN_EXAMPLE.match(field)]
    told = {field for field, _ in problems}
    unsound = {_top(field, raw) for field in told}
    try:
        document = PolicyDocument.model_validate(raw)
        if not problems:
            return document, [], frozenset()
    except ValidationError as error:
        for details in error.errors(include_url=False):
            unsound |= {str(details["loc"][0]), *_meant(details)}
            if _path(details["loc"]) not in told:
                problems.append((_path(details["loc"]), _explain(details)))
    return _sound_fields(raw, frozenset(unsound)), problems, frozenset(unsound)


def _meant(details: ErrorDetails) -> list[str]:
    """The field that a misspelt one was meant to be: what follows from its absence need not be told."""
    if details["type"] != "extra_forbidden" or len(details["loc"]) > 1:
        return []
    return difflib.get_close_matches(str(details["loc"][0]), _siblings(details["loc"]), n=1, cutoff=0.75)


def _top(field: str, raw: dict[str, Any]) -> str:
    """The member of a file that a field is in; names may hold dots themselves."""
    return next((name for name in raw if field == name or field.startswith((f"{name}.", f"{name}["))), field)


def _sound_fields(raw: dict[str, Any], unsound: frozenset[str]) -> PolicyDocument:
    sound = {
        name: _adapter(name).validate_python(raw[name], strict=True)
        for name in _names()
        if name in raw and name not in unsound
    }
    for name in _BY_ENTRY & unsound:
        sound[name] = _sound_entries(raw.get(name))
    if "inputs" in unsound:
        # Their names alone: whether each is used in the key can be told.
        sound["inputs"] = dict.fromkeys(
            raw["inputs"] if isinstance(raw.get("inputs"), dict) else (), InputRule.model_validate({})
        )
    return PolicyDocument.model_construct(**sound)


def _sound_entries(raw: Any) -> dict[str, Any]:
    """What is sound of `headers` or `params`: one wrong entry says nothing about its neighbours."""
    entries = {}
    for name, rule in raw.items() if isinstance(raw, dict) else ():
        try:
            entries[name] = ValueRule.model_validate(rule)
        except ValidationError:
            continue
    return entries


def _names() -> list[str]:
    return [name for name in PolicyDocument.model_fields if name != "schema_"]


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = PolicyDocument.model_fields[name]
    annotation: Any = field.annotation
    return TypeAdapter(Annotated[annotation, *field.metadata] if field.metadata else annotation)


def _explain(details: ErrorDetails) -> str:
    """One of pydantic's errors in words, with both sides."""
    got, context, kind_of_error = details["input"], details.get("ctx", {}), details["type"]
    if kind_of_error == "extra_forbidden":
        legal = _siblings(details["loc"])
        close = difflib.get_close_matches(str(details["loc"][-1]), legal, n=1, cutoff=0.75)
        return f"is no field; {f'did you mean {close[0]}? ' if close else ''}legal here: {', '.join(legal)}"
    if kind_of_error == "missing":
        return "is required"
    if kind_of_error == "literal_error":
        legal = context["expected"].replace(" or ", ", ")
        return f"must be one of {legal}, got {shown(got)}"
    if kind_of_error == "expected":
        return str(context["message"])
    if kind_of_error in _BOUNDS:
        word, name = _BOUNDS[kind_of_error]
        return f"must be {word} {context[name]}, got {shown(got)}"
    if kind_of_error in _PLAIN_WORDS:
        return f"{_PLAIN_WORDS[kind_of_error]}, got {shown(got)}"
    return f"{details['msg'][0].lower()}{details['msg'][1:]}, got {shown(got)}"


_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
_PLAIN_WORDS = {
    "too_short": "must not be empty",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
}


def _path(loc: tuple[str | int, ...]) -> str:
    # Pydantic's own mark for a name that is wrong itself.
    return field_name(loc[:-1] if loc[-1:] == ("[key]",) else loc)


def _siblings(loc: tuple[str | int, ...]) -> list[str]:
    """The fields that are legal where an unknown one stands."""
    annotation: Any = PolicyDocument
    for part in loc[:-1]:
        annotation = _inside(annotation, part)
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _inside(annotation: Any, part: str | int) -> Any:
    """The type of one member of a type: of a model's field, of a mapping's or a list's entry."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return next((field.annotation for name, field in fields.items() if part in (name, field.alias)), None)
    if get_origin(annotation) in (dict, list):
        return _bare(get_args(annotation)[-1])
    return _inside(_bare(annotation), part)


def _bare(annotation: Any) -> Any:
    """A type without `Annotated` and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(one for one in get_args(annotation) if one is not NoneType))
    return annotation
