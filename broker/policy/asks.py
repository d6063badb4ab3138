"""Asks: what a caller may say to each vend, and nothing else. What it may have is for `routes` to decide."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Required

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from broker.cos.requests import METHODS
from broker.errors import FieldError, InvalidRequest, Refused, named, quoted, summary
from broker.policy.document import Method

_FILENAME_BYTES = 255
BATCH_ASKS = 1_000
PARTS = 10_000
_UPLOAD_ID = re.compile(r"[!-~]{1,512}")

NOTHING: Mapping[str, str] = MappingProxyType({})


class Ask(NamedTuple):
    """What a caller asks a route for; well formed, otherwise unproved."""

    vend: str
    method: str | None = None
    bucket: str | None = None
    key: str | None = None
    inputs: Mapping[str, str] | None = None
    headers: Mapping[str, str] = NOTHING
    params: Mapping[str, str] = NOTHING
    expires_in: int | None = None
    filename: str | None = None
    step: str | None = None
    upload_id: str | None = None
    size: int | None = None
    parts: tuple[int, int] | None = None  # first and last


def _filename(value: str) -> str:
    flawed = [
        character
        for character in value
        if character in "/\\"
        or unicodedata.category(character)[0] == "C"
        or unicodedata.category(character) in ("Zl", "Zp")
    ]
    if not 1 <= len(value.encode("utf-8", "surrogatepass")) <= _FILENAME_BYTES or flawed or value in (".", ".."):
        message = f"must be a name of 1..{_FILENAME_BYTES} bytes without slashes and control characters"
        raise _expected(message)
    return value


_STEP_MEMBERS = ("upload_id", "size", "parts", "headers")
# Each step of a multipart upload, and what it needs beside the key.
STEPS: Mapping[str, set[str]] = {
    "initiate": {"size"},
    "parts": {"upload_id", "size", "parts"},
    "list": {"upload_id"},
    "complete": {"upload_id"},
    "abort": {"upload_id"},
}


def _expected(message: str, **more: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{message}", {"message": message, **more})


def _upload_id(value: str) -> str:
    if not _UPLOAD_ID.fullmatch(value):
        raise _expected("must be what COS gave at initiate: 1 to 512 printable ASCII characters")
    return value


def _instead_of_key(value: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
    if value is not None and info.data.get("key") is not None:
        raise _expected("must be left out where inputs are given, got both", field="key")
    return value


# Stands after `key`: a validator sees what is before it.
_Inputs = Annotated[dict[str, str] | None, AfterValidator(_instead_of_key)]
_Positive = Annotated[int, Field(gt=0, lt=10**15)]


class _Ask(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]

    bucket: str | None


class SigningAsk(_Ask, total=False):
    """What `url` and `signature` take; the official SDK's parameters in snake case."""

    method: Method | None
    key: str | None
    inputs: _Inputs
    headers: dict[str, str]
    params: dict[str, str]
    expires_in: _Positive | None


class DownloadAsk(SigningAsk, total=False):
    """What `download-url` takes."""

    filename: Annotated[str, AfterValidator(_filename)] | None


class FormAsk(_Ask, total=False):
    """What `form` takes."""

    key: str | None
    inputs: _Inputs
    headers: dict[str, str]
    expires_in: _Positive | None


class Parts(BaseModel):
    """A range of parts, both ends included."""

    model_config = ConfigDict(strict=True, extra="forbid")

    from_: int = Field(alias="from", ge=1, le=PARTS)
    to: int = Field(ge=1, le=PARTS)

    @model_validator(mode="after")
    def _check(self) -> Parts:
        if self.from_ > self.to:
            raise _expected(f"from must be at most to, got {self.from_} and {self.to}")
        return self


class MultipartAsk(FormAsk, total=False):
    """What `multipart` takes; each step its own members."""

    step: Required[Literal["initiate", "parts", "list", "complete", "abort"]]
    upload_id: Annotated[str, AfterValidator(_upload_id)] | None
    size: _Positive | None
    parts: Annotated[Parts, AfterValidator(lambda parts: (parts.from_, parts.to))] | None


class ConfirmAsk(_Ask, total=False):
    """What `confirm` takes."""

    key: Required[str]


class KeysAsk(_Ask, total=False):
    """What `credentials` takes."""


def _of_its_step(asked: MultipartAsk) -> MultipartAsk:
    step = asked["step"]
    given = {name for name in _STEP_MEMBERS if asked.get(name) is not None}
    wanted = STEPS[step]
    if missing := wanted - given:
        raise _expected(f"step {step} needs {', '.join(sorted(missing))}")
    if odd := given - wanted - ({"headers"} if step == "initiate" else set()):
        raise _expected(f"step {step} takes no {', '.join(sorted(odd))}")
    return asked


_ASKS: Mapping[str, type] = {
    "url": SigningAsk,
    "download-url": DownloadAsk,
    "signature": SigningAsk,
    "credentials": KeysAsk,
    "form": FormAsk,
    "multipart": MultipartAsk,
    "confirm": ConfirmAsk,
}
# The members of each vend's asks, in their order.
ASKS: Mapping[str, tuple[str, ...]] = {vend: tuple(kind.__annotations__) for vend, kind in _ASKS.items()}
_CHECKED: Mapping[str, Any] = {**_ASKS, "multipart": Annotated[MultipartAsk, AfterValidator(_of_its_step)]}
# What the adapters call themselves, without their own look at its arguments.
_VALIDATORS = {vend: TypeAdapter(kind).validator.validate_python for vend, kind in _CHECKED.items()}
# What may stand in a batch: asks that are one signed request each, or none.
BATCHED = tuple(vend for vend in ASKS if vend not in ("multipart", "confirm"))


def parse_ask(unverified: Any, vend: str) -> Ask:
    """The ask in a JSON value. Raises InvalidRequest with everything that is wrong with its shape."""
    try:
        return Ask(vend, **_VALIDATORS[vend](unverified))
    except ValidationError as error:
        found = error.errors(include_url=False)
        errors = [FieldError(_path(details), _message(details, ASKS[vend])) for details in found]
        raise InvalidRequest("invalid_request", summary(errors).strip(), errors) from None


def parse_batch(unverified: Any) -> list[Any]:
    """The asks of a batch, each still to be read. Raises InvalidRequest or Refused (`batch_too_large`)."""
    members = unverified if isinstance(unverified, Mapping) else {}
    asks = members.get("asks")
    errors = [
        FieldError(named(str(name)), "is no member of a batch; members: asks") for name in members if name != "asks"
    ]
    if not isinstance(asks, list) or not asks:
        errors.append(FieldError("asks", "must be a list of at least one ask"))
    if errors:
        raise InvalidRequest("invalid_request", summary(errors), errors)
    assert isinstance(asks, list)  # noqa: S101  or there would be an error
    if len(asks) > BATCH_ASKS:
        raise too_large(f"at most {BATCH_ASKS} asks, got {len(asks)}")
    return asks


def too_large(message: str) -> Refused:
    """The refusal of a whole batch."""
    return Refused("batch_too_large", f"a batch has {message}", [FieldError("asks", f"must be {message}")])


def parse_named_ask(unverified: Any, legal: Collection[str] = tuple(ASKS)) -> Ask:
    """The ask in a mapping that also says which vend it is for. Raises InvalidRequest."""
    if not isinstance(unverified, (dict, Mapping)):  # a look at the latter takes five times as long
        raise InvalidRequest("invalid_request", f"an ask is an object, got {_kind(unverified)}")
    others = dict(unverified)
    vend = others.pop("vend", None)
    if not isinstance(vend, str) or vend not in legal:
        got = quoted(vend) if isinstance(vend, str) else _kind(vend) if "vend" in unverified else "none"
        message = f"must be one of {', '.join(legal)}, got {got}"
        raise InvalidRequest("invalid_request", f"vend {message}", [FieldError("vend", message)])
    return parse_ask(others, vend)


def _path(details: ErrorDetails) -> str:
    told = details.get("ctx", {}).get("field")
    return told or ".".join(named(str(part)) for part in details["loc"] if part != "[key]")


def _message(details: ErrorDetails, members: Sequence[str]) -> str:
    got, kind = details["input"], details["type"]
    expected = {
        "string_type": "must be a string",
        "dict_type": "must be an object of strings",
        "int_type": "must be a positive integer",
        "int_from_float": "must be a positive integer",
        "greater_than": "must be a positive integer",
        "less_than": "must be a positive integer",
        "greater_than_equal": f"must be 1..{PARTS}",
        "less_than_equal": f"must be 1..{PARTS}",
        "model_type": "must be an object of from and to",
    }
    if kind == "dict_type" and not details["loc"]:
        return f"the ask must be a JSON object, got {_kind(got)}"
    if kind == "extra_forbidden":
        return f"is no member of this ask; members: {', '.join(members)}"
    if kind == "literal_error":
        legal = METHODS if details["loc"][-1] == "method" else details["ctx"]["expected"].replace("'", "").split(" or ")
        return f"must be one of {', '.join(legal)}, got {quoted(got) if isinstance(got, str) else _kind(got)}"
    if kind == "missing":
        return "is required"
    if kind == "expected":
        return str(details["ctx"]["message"])
    is_number = isinstance(got, (int, float)) and not isinstance(got, bool)
    shown = quoted(str(got)) if is_number and abs(got) < 10**18 else _kind(got)
    return f"{expected.get(kind, details['msg'])}, got {shown.strip(chr(39))}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
