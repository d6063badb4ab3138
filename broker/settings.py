"""The environment -> frozen Settings, or one error that lists every problem. Nothing else reads the environment."""

from __future__ import annotations

import base64
import binascii
import difflib
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from broker.cos import requests
from broker.cos.cors import origin_flaw
from broker.credentials.sealing import KEY_BYTES
from broker.errors import ConfigurationError, Problem
from broker.fleet import topology
from broker.identity.public_keys import ALGORITHMS

_SOURCE = "environment"
VARIABLES = "POLICY_"  # what policy files may name begins so
_TRACING = ("opentelemetry.instrumentation.flask", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_LEVELS = ("debug", "info", "warning", "error")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """Whose bearer tokens are believed. `jwks` is a URL or a file."""

    jwks: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator decides. The README has the table of variables."""

    secret_id: str
    secret_key: str = field(repr=False)
    sts_endpoint: str
    sts_region: str
    cos_endpoint: str
    policies: Path
    redis_url: str = field(repr=False)
    cache_keys: tuple[bytes, ...] = field(repr=False)
    jwt: JwtSettings | None
    api_keys: Path | None
    anonymous: bool
    cors_origins: tuple[str, ...]
    trusted_proxies: int
    policy_bytes: int
    sts_budget: int
    log_level: str
    log_format: str
    metrics_folder: str
    policy_variables: Mapping[str, str]
    tracing: bool = False
    console_claims: str | None = None  # JSON: who may see the console; None: it is off

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, *, serving: bool = True) -> Settings:
        """The settings of an environment (the process's own by default). Raises ConfigurationError with all problems.

        `serving`: callers will be let in, so some way to authenticate them must be configured.
        """
        settings, problems = cls.read(environ, serving=serving)
        if problems:
            raise ConfigurationError(problems)
        return settings

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, *, serving: bool = True) -> tuple[Settings, list[Problem]]:
        """The settings, defaults in the place of wrong ones, and every problem."""
        reader = _Reader(os.environ if environ is None else environ)
        settings = cls(
            secret_id=reader.text("TENCENTCLOUD_SECRET_ID"),
            secret_key=reader.text("TENCENTCLOUD_SECRET_KEY"),
            sts_endpoint=reader.endpoint("BROKER_STS_ENDPOINT", "https://sts.tencentcloudapi.com"),
            sts_region=reader.matching("BROKER_STS_REGION", "ap-guangzhou", _REGION, "a region such as ap-guangzhou"),
            cos_endpoint=reader.endpoint("BROKER_COS_ENDPOINT", "https://{bucket}.cos.{region}.myqcloud.com"),
            policies=Path(reader.text("BROKER_POLICIES", "policies")),
            redis_url=reader.redis_url("BROKER_REDIS_URL"),
            cache_keys=reader.cache_keys("BROKER_CACHE_KEYS"),
            jwt=reader.jwt(),
            api_keys=Path(reader.text("BROKER_API_KEYS")) if reader.text("BROKER_API_KEYS") else None,
            anonymous=reader.choice("BROKER_ANONYMOUS", "0", ("0", "1")) == "1",
            cors_origins=reader.origins("BROKER_CORS_ORIGINS"),
            trusted_proxies=reader.number("BROKER_TRUSTED_PROXIES", 0, 0, 16),
            policy_bytes=reader.number("BROKER_POLICY_BYTES", 4096, 256, 65_536),
            sts_budget=reader.number("BROKER_STS_BUDGET", 400, 4, 100_000),
            log_level=reader.choice("BROKER_LOG_LEVEL", "info", _LEVELS),
            log_format=reader.choice("BROKER_LOG_FORMAT", "json", ("json", "console")),
            metrics_folder=reader.text("PROMETHEUS_MULTIPROC_DIR"),
            policy_variables=reader.beginning_with(VARIABLES),
            tracing=reader.tracing("OTEL_EXPORTER_OTLP_ENDPOINT"),
            console_claims=reader.console(),
        )
        reader.check_pairs(settings, serving=serving)
        reader.check_unknown()
        return settings, reader.problems


class _Reader:
    """Reads variables one by one and notes every problem. An empty variable is an unset one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()
        self.problems: list[Problem] = []

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(Problem(_SOURCE, name, message))

    def text(self, name: str, default: str = "") -> str:
        self._known.add(name)
        return self._environ.get(name, "").strip() or default

    def beginning_with(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in self._environ.items() if name.startswith(prefix)}

    def matching(self, name: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.text(name, default)
        if not pattern.fullmatch(value):
            self.refuse(name, f"must be {what}, got {_shown(value)}")
        return value

    def choice(self, name: str, default: str, legal: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in legal:
            self.refuse(name, f"must be one of {', '.join(legal)}, got {_shown(value)}")
            return default
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
            self.refuse(name, f"must be a whole number {least}..{most}, got {_shown(value)}")
            return default
        return int(value)

    def endpoint(self, name: str, default: str) -> str:
        value = self.text(name, default)
        flaw = requests.template_flaw(value, placeholders="{bucket}" in default)
        if flaw is not None:
            self.refuse(name, f"{flaw}, got {_shown(value)}")
            return default
        return value.rstrip("/")

    def redis_url(self, name: str) -> str:
        value = self.text(name)
        if value:
            try:
                topology.parse(value)
            except topology.TopologyError as flaw:
                self.refuse(name, str(flaw))  # the value is never shown: it may hold a password
                return value
            for option, paths in parse_qs(value.partition("?")[2]).items():
                if option.startswith("ssl_") and not all(os.access(path, os.R_OK) for path in paths):
                    self.refuse(name, f"{option} names no file that can be read")
        return value

    def cache_keys(self, name: str) -> tuple[bytes, ...]:
        keys = []
        for index, text in enumerate(filter(None, (part.strip() for part in self.text(name).split(","))), start=1):
            try:
                key = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                self.refuse(name, f"key {index} is not base64; `python -m broker keygen cache` makes one")
                continue
            if len(key) != KEY_BYTES:
                self.refuse(name, f"key {index} must be {KEY_BYTES} bytes, got {len(key)}")
            keys.append(key)
        return tuple(keys)

    def origins(self, name: str) -> tuple[str, ...]:
        texts = tuple(filter(None, (part.strip() for part in self.text(name).split(","))))
        flaws = [f"{flaw}, got {_shown(text)}" for text in texts if (flaw := origin_flaw(text)) is not None]
        if flaws:
            self.refuse(name, "; ".join(flaws))
            return ()
        return texts

    def tracing(self, name: str) -> bool:
        wanted = bool(self.text(name))
        if wanted and not all(map(_installed, _TRACING)):
            self.refuse(name, "needs the extra `otel`, which is missing: pip install '.[otel]' in the broker's folder")
        return wanted

    def console(self) -> str | None:
        switch, name = "BROKER_CONSOLE", "BROKER_CONSOLE_CLAIMS"
        on, claims = self.text(switch), self.text(name)
        if on not in ("", "1"):
            self.refuse(switch, f"must be 1, or not set: then there is no console; got {_shown(on)}")
        elif on and not claims:
            example = '{"role": {"const": "operator"}}'
            self.refuse(name, f"is required with {switch}=1: whose claims let them see the console, such as {example}")
        elif claims and not on:
            self.refuse(name, f"goes with {switch}=1, which is not set")
        return claims if on == "1" and claims else None

    def jwt(self) -> JwtSettings | None:
        names = ("BROKER_JWT_JWKS", "BROKER_JWT_ISSUER", "BROKER_JWT_AUDIENCE")
        jwks, issuer, audience = (self.text(name) for name in names)
        algorithms = tuple(part.strip() for part in self.text("BROKER_JWT_ALGORITHMS", "RS256,ES256").split(","))
        for algorithm in algorithms:
            if algorithm not in ALGORITHMS:
                legal = ", ".join(ALGORITHMS)
                self.refuse("BROKER_JWT_ALGORITHMS", f"{_shown(algorithm)} is none of {legal} (asymmetric only)")
        if not jwks:
            for name in (*names[1:], "BROKER_JWT_ALGORITHMS"):
                if self._environ.get(name):
                    self.refuse(name, "goes with BROKER_JWT_JWKS, which is not set")
            return None
        for name, value in ((names[1], issuer), (names[2], audience)):
            if not value:
                self.refuse(name, "is required with BROKER_JWT_JWKS")
        if "://" in jwks and (flaw := requests.url_flaw(jwks)) is not None:
            self.refuse(names[0], f"{flaw}, or a file; got {_shown(jwks)}")
            return None
        return JwtSettings(jwks, issuer, audience, algorithms)

    def check_pairs(self, settings: Settings, *, serving: bool) -> None:
        if bool(settings.secret_id) != bool(settings.secret_key):
            missing = "TENCENTCLOUD_SECRET_KEY" if settings.secret_id else "TENCENTCLOUD_SECRET_ID"
            self.refuse(missing, "is missing: the key for STS is a pair")
        told = any(problem.field == "BROKER_CACHE_KEYS" for problem in self.problems)
        if settings.redis_url and not settings.cache_keys and not told:
            self.refuse(
                "BROKER_CACHE_KEYS", "is required with BROKER_REDIS_URL; `python -m broker keygen cache` makes one"
            )
        if settings.cache_keys and not settings.redis_url:
            self.refuse("BROKER_CACHE_KEYS", "goes with BROKER_REDIS_URL, which is not set")
        ways = ("BROKER_JWT_JWKS", "BROKER_API_KEYS", "BROKER_ANONYMOUS")
        told = any(problem.field in ways for problem in self.problems)
        if serving and not (told or settings.jwt or settings.api_keys or settings.anonymous):
            self.refuse(
                "BROKER_JWT_JWKS",
                "no authentication is configured: set BROKER_JWT_JWKS (with issuer and audience), BROKER_API_KEYS or "
                "BROKER_ANONYMOUS=1",
            )

    def check_unknown(self) -> None:
        for name in sorted(self._environ):
            if not name.startswith("BROKER_") or name in self._known:
                continue
            # All begin alike, which would make any two of them similar.
            ends = [one.removeprefix("BROKER_") for one in self._known]
            close = difflib.get_close_matches(name.removeprefix("BROKER_"), ends, n=1, cutoff=0.7)
            self.refuse(name, f"is no setting{f'; did you mean BROKER_{close[0]}?' if close else ''}")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it is part of
        return False


def _shown(value: str) -> str:
    if "@" in value:
        return "a value with '@', which is not shown"
    return ascii(value if len(value) <= 100 else f"{value[:99]}…")
