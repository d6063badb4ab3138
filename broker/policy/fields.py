"""What a single field of a policy file may hold, whichever it is: texts of a form, lists, patterns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from broker import rates
from broker.cos import requests
from broker.patterns import Pattern, PatternError
from broker.policy import flaws

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
CLAIM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,63}")
WORD = re.compile(r"\S{1,256}")
ROLE_ARN = re.compile(r"qcs::cam::uin/[0-9]+:(?:roleName/[\w+=,.@-]{1,128}|role/[0-9]+)", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,128}", re.ASCII)


def expected(message: str) -> PydanticCustomError:
    """The error that a validator raises; the message says what was expected and what came."""
    # Braces are pydantic's own placeholders.
    return PydanticCustomError("expected", "{message}", {"message": message})


def unique(values: list[Any]) -> list[Any]:
    """The list, if it names nothing twice."""
    if len(set(values)) != len(values):
        twice = next(value for value, count in Counter(values).items() if count > 1)
        raise expected(f"names {shown(twice)} twice")
    return values


def _compiles(pattern: str) -> str:
    try:
        Pattern(pattern)
    except PatternError as error:
        raise expected(f"is no regular expression: {error}") from None
    return pattern


@dataclass(frozen=True, slots=True)
class Fits:
    """A text that matches entirely: checked here, and told to editors in the JSON Schema."""

    pattern: re.Pattern[str]
    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        told = {"pattern": f"^(?:{self.pattern.pattern})$", "patternErrorMessage": f"must be {self.what}"}
        return {**handler(schema), **told}

    def _check(self, value: str) -> str:
        if not self.pattern.fullmatch(value):
            raise expected(f"must be {self.what}, got {shown(value)}")
        return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, bool, int)):
        raise expected(f"must be a string, a boolean or an integer, got {shown(value)}")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar), Field(json_schema_extra={"type": ["string", "boolean", "integer"]})]
Expression = Annotated[str, AfterValidator(_compiles)]


def url_template(value: str) -> str:
    """The URL template of an endpoint, without a slash at its end."""
    if (flaw := requests.template_flaw(value)) is not None:
        raise expected(f"{flaw}, got {shown(value)}")
    return value.rstrip("/")


def _rate(value: str) -> str:
    try:
        rates.parse(value)
    except ValueError as error:
        raise expected(f"{error}, got {shown(value)}") from None
    return value


def _key_text(value: str) -> str:
    if (flaw := flaws.flaw(value)) is not None:
        raise expected(f"{flaw}, got {shown(value)}")
    return value


def input_name(name: str) -> str:
    """The name of an input."""
    if not INPUT_NAME.fullmatch(name) or name in ("uuid", "date"):
        raise expected(f"must be a name of a-z 0-9 _, not uuid or date, got {shown(name)}")
    return name


KeyTexts = Annotated[list[Annotated[str, AfterValidator(_key_text)]], Field(min_length=1), AfterValidator(unique)]
RateText = Annotated[str, Fits(rates.NOTATION, rates.LEGAL), AfterValidator(_rate)]
OneOrMore = Annotated[list[str], Field(min_length=1), AfterValidator(unique)]


def kind(value: Any) -> str:
    """What a JSON value is, for a message."""
    names: Mapping[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def shown(value: Any) -> str:
    """A value of a policy file, for a message: cut to 66 characters."""
    text = ascii(value) if isinstance(value, (str, int, float)) else kind(value)
    return text if len(text) <= 66 else f"{text[:63]}…"
