"""One policy file, typed field by field; the descriptions here are the policy format's documentation.

This room knows shapes: types, names, legal values of one field. How a file's JSON becomes one is in `parsing`, what
fields demand of each other in `checks`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from broker import rates
from broker.cos import requests
from broker.errors import RefusedCode
from broker.policy import conditions
from broker.policy.fields import (
    CLAIM_NAME,
    EXTERNAL_ID,
    ROLE_ARN,
    WORD,
    Expression,
    Fits,
    KeyTexts,
    OneOrMore,
    RateText,
    Scalar,
    expected,
    input_name,
    unique,
    url_template,
)

Vend = Literal["url", "download-url", "signature", "credentials", "form", "multipart", "confirm"]
Method = Literal["PUT", "POST", "GET", "DELETE", "HEAD"]
ScopeName = Literal["route", "principal", "object"]

# What an entry of `tests` may expect: all that a route answers without asking the cloud.
Outcome = Literal["granted", "unauthenticated", "principal_not_allowed", "invalid_request", RefusedCode]

_MIB, _GIB, _PARTS = 2**20, 2**30, 10_000


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _exactly_one(part: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise expected(f"must hold exactly one of {', '.join(names)}, got {' and '.join(given) or 'none'}")


class ClaimRule(_Part):
    """What one claim of the principal must be; exactly one member."""

    const: Annotated[Scalar | None, Field(description="The claim equals this value.")] = None
    enum: Annotated[list[Scalar], Field(min_length=1)] | None = Field(
        None, description="The claim equals one of these values."
    )
    contains: Annotated[str, Fits(WORD, "one word, without spaces")] | None = Field(
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
    claims: dict[Annotated[str, Fits(CLAIM_NAME, "a claim name")], ClaimRule] = Field(
        default_factory=dict, description="Every claim named here must satisfy its rule."
    )

    @model_validator(mode="after")
    def _check(self) -> Principals:
        if self.anonymous and self.claims:
            raise expected("must hold either anonymous or claims, got both")
        if not self.anonymous and not self.claims:
            raise expected('must hold "anonymous": true or claims; leave it out for any authenticated principal')
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
            raise expected(f"must hold either enum or {others}, got both")
        return self


class Content(_Part):
    """Limits of an upload."""

    types: (
        Annotated[
            list[Annotated[str, Fits(requests.MEDIA_TYPE_OR_RANGE, "type/subtype or type/*, without parameters")]],
            Field(min_length=1),
            AfterValidator(unique),
        ]
        | None
    ) = Field(None, description="Admitted Content-Types, compared whole and case-sensitively.")
    max_bytes: int | None = Field(
        None, ge=1, le=_PARTS * 5 * _GIB, description="Longest object, in bytes; at most 5 GiB without multipart."
    )
    part_bytes: int = Field(
        8 * _MIB,
        ge=_MIB,
        le=5 * _GIB,
        description="Length of the parts of a multipart upload; the last may be shorter.",
    )

    @model_validator(mode="after")
    def _check(self) -> Content:
        if self.types is None and self.max_bytes is None:
            raise expected("must hold types or max_bytes, got neither")
        if self.max_bytes is not None and self.max_bytes > _PARTS * self.part_bytes:
            least = -(-self.max_bytes // _PARTS)
            raise expected(f"part_bytes must be at least {least}: {_PARTS} parts make max_bytes, got {self.part_bytes}")
        return self


class ValueRule(_Part):
    """What one header or parameter may hold."""

    const: str | None = Field(None, description="Added by the broker and signed; may be a template of claims.")
    enum: OneOrMore | None = Field(None, description="May be asked for with one of these values.")
    pattern: Expression | None = Field(None, description="May be asked for with a value that matches entirely.")
    required: bool = Field(False, description="Must be asked for (enum and pattern only).")

    @model_validator(mode="after")
    def _check(self) -> ValueRule:
        _exactly_one(self, ("const", "enum", "pattern"))
        if self.const is not None and self.required:
            raise expected("required goes with enum or pattern: a const is always there")
        return self


class Expires(_Part):
    """Lifetime of what is signed, in seconds."""

    default_seconds: int = Field(300, ge=1, le=129_600, description="When the ask does not say expires_in.")
    max_seconds: int = Field(
        900,
        ge=1,
        le=129_600,
        description="The longest expires_in, window included; more is refused, never shortened.",
    )

    window_seconds: int = Field(
        0,
        ge=0,
        le=129_600,
        description="Reads alone: asks within a window of this length get the same URL, so that browsers and CDNs "
        "cache; 0: a new one each time.",
    )

    @model_validator(mode="after")
    def _check(self) -> Expires:
        if self.default_seconds > self.max_seconds:
            raise expected(f"default_seconds must be 1..{self.max_seconds} (max_seconds), got {self.default_seconds}")
        if self.window_seconds and self.default_seconds + self.window_seconds > self.max_seconds:
            got = f"{self.default_seconds} + {self.window_seconds}"
            raise expected(
                f"default_seconds + window_seconds must be at most max_seconds ({self.max_seconds}), got {got}"
            )
        return self

    @property
    def longest_seconds(self) -> int:
        """The longest `expires_in`: a window counts into `max_seconds`."""
        return self.max_seconds - self.window_seconds


class CredentialTerms(_Part):
    """The temporary credential behind the route."""

    scope: ScopeName | None = Field(
        None,
        description="Whose objects one credential reaches: the route's literal prefix, the principal's prefix, or the "
        "one object. Default: object if the key has no placeholder, principal if it has a claim, else route.",
    )
    duration_seconds: int = Field(1800, ge=1, le=129_600, description="Lifetime that STS is asked for.")
    role_arn: Annotated[str, Fits(ROLE_ARN, "qcs::cam::uin/UIN:roleName/NAME or :role/ID")] | None = Field(
        None, description="Use AssumeRole with this role instead of GetFederationToken."
    )
    external_id: Annotated[str, Fits(EXTERNAL_ID, "2 to 128 of A-Z a-z 0-9 _ + = , . @ : / -")] | None = Field(
        None, description="ExternalId of AssumeRole."
    )
    min_remaining_seconds: int = Field(
        600, ge=1, le=129_600, description="Handed-out keys (vend credentials) live at least this."
    )
    shared_writes: bool = Field(False, description="Allow writes with a credential that all principals share.")


class Example(_Part):
    """An ask and what must come of it."""

    as_: dict[str, Any] | None = Field(
        None, alias="as", description="The principal's claims; left out: a caller without credentials."
    )
    ask: dict[str, Any] = Field(description='What the body of the request would hold, and "vend".')
    expect: Outcome = Field(description='"granted", or the code of the refusal.')


class PolicyDocument(_Part):
    """A route of the broker: what may be asked for, by whom, and how long it lasts."""

    model_config = ConfigDict(title="COS Broker policy")

    schema_: str | None = Field(None, alias="$schema", description="For editors; ignored.")
    description: str = Field("", max_length=500, description="What the route is for, in a sentence.")
    principals: Principals | None = Field(
        None, description="Who may use the route; absent: any authenticated principal."
    )
    vends: Annotated[list[Vend], Field(min_length=1), AfterValidator(unique)] = Field(
        description="Which endpoints the route has."
    )
    methods: Annotated[list[Method], Field(min_length=1), AfterValidator(unique)] | None = Field(
        None, description="What url and signature may sign, and credentials may do."
    )
    bucket: Annotated[str, Fits(requests.BUCKET, "a bucket as name-appid, without wildcards")] = Field(
        description="The bucket, as name-appid.", examples=["examplebucket-1250000000", "${POLICY_BUCKET}"]
    )
    region: Annotated[str, Fits(requests.REGION, "a region such as ap-guangzhou")] = Field(
        description="The bucket's region.", examples=["ap-guangzhou"]
    )
    endpoint: Annotated[str, AfterValidator(url_template)] | None = Field(
        None,
        description="URL template instead of BROKER_COS_ENDPOINT, for a custom domain, acceleration or tencentcos.cn; "
        "may hold {bucket} and {region}.",
    )
    key: str = Field(
        description="Object key template: literals, {principal.CLAIM}, {INPUT}, {uuid}, {date:%Y/%m/%d}.",
        examples=["avatars/{principal.sub}/{uuid}.{ext}", "files/{principal.sub}/{path}"],
    )
    inputs: dict[Annotated[str, AfterValidator(input_name)], InputRule] = Field(
        default_factory=dict, description="The parts of the key that the caller supplies."
    )
    content: Content | None = Field(None, description="Limits of an upload.")
    headers: dict[str, ValueRule] = Field(default_factory=dict, description="Headers the signed request may carry.")
    params: dict[str, ValueRule] = Field(default_factory=dict, description="Query parameters it may carry.")
    expires: Expires = Field(default_factory=lambda: Expires.model_validate({}), description="Lifetimes.")
    credential: CredentialTerms = Field(
        default_factory=lambda: CredentialTerms.model_validate({}), description="The credential behind it."
    )
    condition: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description=f"More that CAM must hold: {conditions.LEGAL}."
    )
    rate: RateText | None = Field(
        None,
        description="How many requests each principal may have signed on this route, parts and items of a batch "
        f"counted one by one; one more is 429. It is {rates.LEGAL}. Absent: no limit.",
        examples=["60/minute", "10 per 2 minutes"],
    )
    tests: list[Example] = Field(default_factory=list, description="The policy's own examples, run at every load.")
