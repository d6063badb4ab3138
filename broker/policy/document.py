"""One policy file, typed field by field; the descriptions here are the policy format's documentation.

This room knows shapes: types, names, legal values of one field. What fields demand of each other is in `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from broker.cos import requests
from broker.patterns import Pattern, PatternError
from broker.policy import templates

Vend = Literal["url", "download-url", "signature", "credentials"]
Method = Literal["PUT", "POST", "GET", "DELETE", "HEAD"]
ScopeName = Literal["route", "principal", "object"]

# Part of the policy format, not of this version: refused by name, so that nobody believes them in force.
_LATER_FIELDS = frozenset(
    {"endpoint", "condition", "rate", "tests", "expires.window_seconds", "content.part_bytes"},
)
_LATER_VENDS = frozenset({"form", "multipart", "confirm"})
# Their entries are judged one by one, unsound neighbours or not.
_BY_ENTRY = frozenset({"headers", "params"})
_NOT_SUPPORTED = "is not supported by this version of the broker"

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CLAIM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,63}")
_WORD = re.compile(r"\S{1,256}")
_ROLE_ARN = re.compile(r"qcs::cam::uin/[0-9]+:(?:roleName/[\w+=,.@-]{1,128}|role/[0-9]+)", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,128}", re.ASCII)


def _expected(message: str) -> PydanticCustomError:
    # Braces are pydantic's own placeholders.
    return PydanticCustomError("expected", "{message}", {"message": message})


def _unique(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise _expected(f"names {value!r} twice")
    return values


def _compiles(pattern: str) -> str:
    try:
        Pattern(pattern)
    except PatternError as error:
        raise _expected(f"is no regular expression: {error}") from None
    return pattern


def _fits(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise _expected(f"must be {what}, got {_shown(value)}")
        return value

    return AfterValidator(check)


def _no_substitution(value: str) -> str:
    if "${" in value:
        raise _expected(f"holds ${{…}}: variable substitution {_NOT_SUPPORTED}")
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, bool, int)):
        raise _expected(f"must be a string, a boolean or an integer, got {_shown(value)}")
    return _no_substitution(value) if isinstance(value, str) else value


Scalar = Annotated[Any, AfterValidator(_scalar)]
Text = Annotated[str, AfterValidator(_no_substitution)]
Expression = Annotated[Text, AfterValidator(_compiles)]


def _key_text(value: str) -> str:
    if (flaw := templates.flaw(value)) is not None:
        raise _expected(f"{flaw}, got {_shown(value)}")
    return value


def _input_name(name: str) -> str:
    if not _INPUT_NAME.fullmatch(name) or name in ("uuid", "date"):
        raise _expected(f"must be a name of a-z 0-9 _, not uuid or date, got {_shown(name)}")
    return name


KeyTexts = Annotated[list[Annotated[Text, AfterValidator(_key_text)]], Field(min_length=1), AfterValidator(_unique)]
OneOrMore = Annotated[list[Text], Field(min_length=1), AfterValidator(_unique)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _exactly_one(part: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise _expected(f"must hold exactly one of {', '.join(names)}, got {' and '.join(given) or 'none'}")


class ClaimRule(_Part):
    """What one claim of the principal must be; exactly one member."""

    const: Annotated[Scalar | None, Field(description="The claim equals this value.")] = None
    enum: Annotated[list[Scalar], Field(min_length=1)] | None = Field(
        None, description="The claim equals one of these values."
    )
    contains: Annotated[Text, _fits(_WORD, "one word, without spaces")] | None = Field(
        None, description="The claim, a space-separated string or a list, holds this word."
    )
    pattern: Expression | None = Field(
        None, description="The claim, a string, matches this regular expression entirely."
    )

    @model_validator(mode="after")
    def _check(self) -> ClaimRule:
        _exactly_one(self, ("const", "enum", "contains", "pattern"))
        return self


class Principals(_Part):
    """Who may use the route; absent: any authenticated principal."""

    anonymous: bool = Field(False, description="Everyone, without credentials; then no claim may stand in the key.")
    claims: dict[Annotated[str, _fits(_CLAIM_NAME, "a claim name")], ClaimRule] = Field(
        default_factory=dict, description="Every claim named here must satisfy its rule."
    )

    @model_validator(mode="after")
    def _check(self) -> Principals:
        if self.anonymous and self.claims:
            raise _expected("must hold either anonymous or claims, got both")
        if not self.anonymous and not self.claims:
            raise _expected('must hold "anonymous": true or claims; leave it out for any authenticated principal')
        return self


class InputRule(_Part):
    """What a caller may fill one placeholder of the key with. Lengths are UTF-8 bytes."""

    type: Literal["path"] | None = Field(None, description="Several segments; last in the key.")
    enum: KeyTexts | None = Field(None, description="One of these values.")
    pattern: Expression | None = Field(None, description="A regular expression for the whole value.")
    max_length: int = Field(128, ge=1, le=256, description="Longest value, in UTF-8 bytes.")

    @model_validator(mode="after")
    def _check(self) -> InputRule:
        if self.enum is not None and self.model_fields_set - {"enum"}:
            others = ", ".join(sorted(self.model_fields_set - {"enum"}))
            raise _expected(f"must hold either enum or {others}, got both")
        return self


class Content(_Part):
    """Limits of an upload."""

    types: (
        Annotated[
            list[Annotated[Text, _fits(requests.MEDIA_TYPE_OR_RANGE, "type/subtype or type/*, without parameters")]],
            Field(min_length=1),
            AfterValidator(_unique),
        ]
        | None
    ) = Field(None, description="Admitted Content-Types, compared whole and case-sensitively.")
    max_bytes: int | None = Field(None, ge=1, le=5 * 2**30, description="Longest object, in bytes.")

    @model_validator(mode="after")
    def _check(self) -> Content:
        if self.types is None and self.max_bytes is None:
            raise _expected("must hold types or max_bytes, got neither")
        return self


class ValueRule(_Part):
    """What one header or parameter may hold."""

    const: Text | None = Field(None, description="Added by the broker and signed; may be a template of claims.")
    enum: OneOrMore | None = Field(None, description="May be asked for with one of these values.")
    pattern: Expression | None = Field(None, description="May be asked for with a value that matches entirely.")
    required: bool = Field(False, description="Must be asked for (enum and pattern only).")

    @model_validator(mode="after")
    def _check(self) -> ValueRule:
        _exactly_one(self, ("const", "enum", "pattern"))
        if self.const is not None and self.required:
            raise _expected("required goes with enum or pattern: a const is always there")
        return self


class Expires(_Part):
    """Lifetime of what is signed, in seconds."""

    default_seconds: int = Field(300, ge=1, le=129_600, description="When the ask does not say expires_in.")
    max_seconds: int = Field(
        900, ge=1, le=129_600, description="The longest expires_in; more is refused, never shortened."
    )

    @model_validator(mode="after")
    def _check(self) -> Expires:
        if self.default_seconds > self.max_seconds:
            raise _expected(f"default_seconds must be 1..{self.max_seconds} (max_seconds), got {self.default_seconds}")
        return self


class CredentialTerms(_Part):
    """The temporary credential behind the route."""

    scope: ScopeName | None = Field(
        None,
        description="Whose objects one credential reaches: the route's literal prefix, the principal's prefix, or the "
        "one object. Default: object if the key has no placeholder, principal if it has a claim, else route.",
    )
    duration_seconds: int = Field(1800, ge=1, le=129_600, description="Lifetime that STS is asked for.")
    role_arn: Annotated[Text, _fits(_ROLE_ARN, "qcs::cam::uin/UIN:roleName/NAME or :role/ID")] | None = Field(
        None, description="Use AssumeRole with this role instead of GetFederationToken."
    )
    external_id: Annotated[Text, _fits(_EXTERNAL_ID, "2 to 128 of A-Z a-z 0-9 _ + = , . @ : / -")] | None = Field(
        None, description="ExternalId of AssumeRole."
    )
    min_remaining_seconds: int = Field(
        600, ge=1, le=129_600, description="Handed-out keys (vend credentials) live at least this."
    )
    shared_writes: bool = Field(False, description="Allow writes with a credential that all principals share.")


class PolicyDocument(_Part):
    """A route of the broker: what may be asked for, by whom, and how long it lasts."""

    model_config = ConfigDict(title="COS Broker policy")

    schema_: str | None = Field(None, alias="$schema", description="For editors; ignored.")
    description: Text = Field("", max_length=500, description="What the route is for, in a sentence.")
    principals: Principals | None = Field(
        None, description="Who may use the route; absent: any authenticated principal."
    )
    vends: Annotated[list[Vend], Field(min_length=1), AfterValidator(_unique)] = Field(
        description="Which endpoints the route has."
    )
    methods: Annotated[list[Method], Field(min_length=1), AfterValidator(_unique)] | None = Field(
        None, description="What url and signature may sign, and credentials may do."
    )
    bucket: Annotated[Text, _fits(requests.BUCKET, "a bucket as name-appid, without wildcards")] = Field(
        description="The bucket, as name-appid."
    )
    region: Annotated[Text, _fits(requests.REGION, "a region such as ap-guangzhou")] = Field(
        description="The bucket's region."
    )
    key: Text = Field(description="Object key template: literals, {principal.CLAIM}, {INPUT}, {uuid}, {date:%Y/%m/%d}.")
    inputs: dict[Annotated[str, AfterValidator(_input_name)], InputRule] = Field(
        default_factory=dict, description="The parts of the key that the caller supplies."
    )
    content: Content | None = Field(None, description="Limits of an upload.")
    headers: dict[str, ValueRule] = Field(default_factory=dict, description="Headers the signed request may carry.")
    params: dict[str, ValueRule] = Field(default_factory=dict, description="Query parameters it may carry.")
    expires: Expires = Field(default_factory=lambda: Expires.model_validate({}), description="Lifetimes.")
    credential: CredentialTerms = Field(
        default_factory=lambda: CredentialTerms.model_validate({}), description="The credential behind it."
    )


def parse(raw: Any) -> tuple[PolicyDocument, list[tuple[str, str]], frozenset[str]]:
    """(document, (field, message) of every mistake, fields that are unsound) of one file's JSON.

    With unsound fields the document holds the others; `checks` looks at those, so that one run reports every mistake.
    """
    if not isinstance(raw, dict):
        return PolicyDocument.model_construct(), [("", f"must be a JSON object, got {_kind(raw)}")], frozenset(_names())
    try:
        return PolicyDocument.model_validate(raw), [], frozenset()
    except ValidationError as error:
        problems = [_explain(details) for details in error.errors(include_url=False)]
    unsound = frozenset(field.partition(".")[0].partition("[")[0] for field, _ in problems)
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
    return PolicyDocument.model_construct(**sound), problems, unsound


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
        if field in _LATER_FIELDS:
            return field, _NOT_SUPPORTED
        return field, f"is no field; legal here: {', '.join(_siblings(details['loc']))}"
    if details["type"] == "missing":
        return field, "is required"
    if details["type"] == "literal_error":
        if field.startswith("vends") and isinstance(got, str) and got in _LATER_VENDS:
            return field, f"{_shown(got)} {_NOT_SUPPORTED}"
        legal = context["expected"].replace(" or ", ", ")
        return field, f"must be one of {legal}, got {_shown(got)}"
    if details["type"] == "expected":
        return field, str(context["message"])
    if details["type"] in _PLAIN_WORDS:
        return field, f"{_PLAIN_WORDS[details['type']]}, got {_shown(got)}"
    return field, f"{details['msg'][0].lower()}{details['msg'][1:]}, got {_shown(got)}"


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


def _kind(value: Any) -> str:
    names: Mapping[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, (str, int, float)) else _kind(value)
    return text if len(text) <= 66 else f"{text[:63]}…"
