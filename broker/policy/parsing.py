"""The JSON of a policy file -> its document, or every mistake of its shape in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from broker.policy.document import LATER_FIELDS, NOT_SUPPORTED, InputRule, PolicyDocument, ValueRule
from broker.policy.fields import kind, shown
from broker.policy.variables import nulls, substituted

# Their entries are judged one by one, unsound neighbours or not.
_BY_ENTRY = frozenset({"headers", "params"})


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
    # The claims of an example may be null, as a token's may.
    own = {name: value for name, value in raw.items() if name != "tests"}
    problems += [(field, "must not be null: leave it out") for field in nulls(own)]
    told = {field for field, _ in problems}
    try:
        document = PolicyDocument.model_validate(raw)
        if not problems:
            return document, [], frozenset()
    except ValidationError as error:
        found = [_explain(details) for details in error.errors(include_url=False)]
        problems += [problem for problem in found if problem[0] not in told]
    unsound = frozenset(field.partition(".")[0].partition("[")[0] for field, _ in problems)
    return _sound_fields(raw, unsound), problems, unsound


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


def _explain(details: ErrorDetails) -> tuple[str, str]:
    """(field, message with both sides) of one of pydantic's errors."""
    field = _path(details["loc"])
    got, context = details["input"], details.get("ctx", {})
    if details["type"] == "extra_forbidden":
        if field in LATER_FIELDS:
            return field, NOT_SUPPORTED
        return field, f"is no field; legal here: {', '.join(_siblings(details['loc']))}"
    if details["type"] == "missing":
        return field, "is required"
    if details["type"] == "literal_error":
        legal = context["expected"].replace(" or ", ", ")
        return field, f"must be one of {legal}, got {shown(got)}"
    if details["type"] == "expected":
        return field, str(context["message"])
    if details["type"] in _PLAIN_WORDS:
        return field, f"{_PLAIN_WORDS[details['type']]}, got {shown(got)}"
    return field, f"{details['msg'][0].lower()}{details['msg'][1:]}, got {shown(got)}"


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
    names = [part for part in loc if part != "[key]"]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).removeprefix(".")


def _siblings(loc: tuple[str | int, ...]) -> list[str]:
    model: Any = PolicyDocument
    for part in loc[:-1]:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = _model_in(field.annotation) if field else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
