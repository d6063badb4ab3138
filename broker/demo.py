"""`demo` and `dev`: the whole broker on loopback, used as its callers use it."""

from __future__ import annotations

import json
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker import local
from broker.cos.signing import Request, Signer, Window, encode_key

BROKER_PORT, EMULATOR_PORT = 8000, 9000
Say = Callable[[str], None]


def dev(
    policies: Path, say: Say, port: int = BROKER_PORT, emulator_port: int = EMULATOR_PORT, cors_origins: str = ""
) -> None:
    """Run a broker and an emulator until Ctrl-C, and say how to use them. Raises ConfigurationError.

    `cors_origins` are other origins of pages, as in BROKER_CORS_ORIGINS.
    """
    everybody = {"BROKER_ANONYMOUS": "1", "BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": "{}"}
    settings = {"BROKER_LOG_FORMAT": "console", "BROKER_CORS_ORIGINS": cors_origins, **everybody}
    with local.world(policies, port, emulator_port, **settings) as world:
        picture = world.folder / "avatar.png"
        picture.write_bytes(png(64))
        say(_how_to_use(world, picture))
        try:
            while world.broker.poll() is None:
                threading.Event().wait(1)
        except KeyboardInterrupt:
            say("")
    say("stopped")


def _how_to_use(world: local.World, picture: Path) -> str:
    token = world.identities.token("u2", int(time.time()))
    read_url = "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"url\"])'"
    bff = f"-H 'Authorization: Bearer {world.identities.api_key}' -H 'X-Principal: u1'"
    ask = f"curl -sS -X POST {world.url}/v1"
    as_json = "-H 'Content-Type: application/json'"
    size = picture.stat().st_size
    headers = f'{{"Content-Type": "image/png", "Content-Length": "{size}"}}'
    return f"""
# broker    {world.url}      emulator of STS and COS    {world.emulator.url}      Ctrl-C ends both

# The routes that a BFF may use for its user u1:
curl -sS {world.url}/v1 {bff}

# A URL that uploads one avatar within five minutes, and the upload:
URL=$({ask}/avatars/url {bff} {as_json} \\
  -d '{{"inputs": {{"ext": "png"}}, "headers": {headers}}}' | {read_url})
curl -sS -i -X PUT "$URL" -H 'Content-Type: image/png' -H 'Cache-Control: no-store' \\
  -H 'x-cos-forbid-overwrite: true' --data-binary @{picture}

# The same URL again: the object exists now, and the signed header forbids to overwrite it.
curl -sS -i -X PUT "$URL" -H 'Content-Type: image/png' -H 'Cache-Control: no-store' \\
  -H 'x-cos-forbid-overwrite: true' --data-binary @{picture}

# Temporary keys for u1's folder, as cos-js takes them:
{ask}/user-folder/credentials {bff}

# Somebody else's file, asked for by u2 with a JWT: refused before STS hears of it.
{ask}/private-files/download-url {as_json} -H 'Authorization: Bearer {token}' \\
  -d '{{"key": "files/u1/secret.txt"}}'

# What the emulator was asked so far:
curl -sS {world.emulator.url}/_emulator/stats

# What the broker counts:
curl -sS {world.url}/metrics -H 'Authorization: Bearer {world.identities.console_key}'

# See it and try it, as anybody you like: {world.url}/console#key={world.identities.console_key}"""


def demo(policies: Path, say: Say) -> bool:
    """Every step of an upload and a download, then three that must fail. Whether all went as promised.

    Raises ConfigurationError if something cannot start.
    """
    begun = time.monotonic()
    say("Starting Redis, the emulator of STS and COS, and the broker on loopback …")
    with local.world(policies, local.free_port(), 0, BROKER_LOG_FORMAT="console", BROKER_LOG_LEVEL="error") as world:
        say(f"  broker {world.url}, emulator {world.emulator.url}, ready in {time.monotonic() - begun:.1f} s")
        steps = _Steps(world, say)
        steps.upload_and_download()
        steps.other_users_object()
        steps.other_content()
        steps.outside_the_folder()
        steps.what_it_cost()
    say(f"\n{steps.held} of {steps.told} steps as promised, in {time.monotonic() - begun:.1f} s.")
    return steps.held == steps.told


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Steps:
    """The demo's steps; counts those told and those that went as promised."""

    def __init__(self, world: local.World, say: Say) -> None:
        self._world = world
        self._say = say
        self._picture = png(256)
        self._key = ""
        self.told = 0
        self.held = 0

    def upload_and_download(self) -> None:
        headers = {"Content-Type": "image/png", "Content-Length": str(len(self._picture))}
        self._title(f"A BFF asks for a URL that uploads u1's avatar, {len(self._picture)} bytes, within five minutes")
        grant = self._ask("avatars/url", self._bff("u1"), {"inputs": {"ext": "png"}, "headers": headers}, 200)
        self._key = grant["key"]
        self._title("The browser uploads the file with it, straight to COS")
        self._send("PUT", grant["url"], grant["headers"], self._picture, 200)
        self._title("u1, now with a JWT, asks for a link to that object")
        link = self._ask("avatar-download/download-url", self._jwt("u1"), {"key": self._key}, 200)
        self._title("… and downloads it")
        answer = self._send("GET", link["url"], link["headers"], b"", 200)
        same = answer.body == self._picture
        self._told(same, f"the bytes are {'the same' if same else 'DIFFERENT'}")

    def other_users_object(self) -> None:
        self._title("Forbidden 1: u2 asks for u1's object. The broker refuses; STS never hears of it")
        self._ask("avatar-download/download-url", self._jwt("u2"), {"key": self._key}, 422)

    def other_content(self) -> None:
        self._title(
            "Forbidden 2: u1 asks to upload an image and sends HTML with the URL. COS refuses: the type is signed"
        )
        headers = {"Content-Type": "image/png", "Content-Length": "27"}
        grant = self._ask("avatars/url", self._bff("u1"), {"inputs": {"ext": "png"}, "headers": headers}, 200)
        changed = {**grant["headers"], "Content-Type": "text/html"}
        self._send("PUT", grant["url"], changed, b"<script>alert(1)</script>  ", 403)

    def outside_the_folder(self) -> None:
        self._title("Temporary keys for u1's folder, as a client with a COS SDK takes them")
        keys = self._ask("user-folder/credentials", self._bff("u1"), {}, 200)
        self._title("They write inside the folder …")
        self._sign_and_put(keys, f"{keys['key_prefix']}notes.txt", 200)
        self._title(
            "Forbidden 3: the same keys, another user's folder. COS refuses: the session policy ends at the folder"
        )
        self._sign_and_put(keys, "files/u2/notes.txt", 403)

    def what_it_cost(self) -> None:
        self._title("What it cost")
        stats = self._world.emulator.stats()
        calls = sum(stats["sts"].values())
        self._told(calls == 3, f"5 grants, {calls} calls of STS (one for each scope, then Redis and memory): {stats}")

    def _sign_and_put(self, keys: Mapping[str, Any], key: str, expected: int) -> None:
        # What a COS SDK does with temporary keys, by the broker's own signer.
        temporary, now = keys["credentials"], keys["startTime"]
        signer = Signer(temporary["tmpSecretId"], temporary["tmpSecretKey"], temporary["sessionToken"])
        url, body = self._world.emulator.url, b"remember the milk\n"
        headers = {"Content-Length": str(len(body))}
        request = Request("PUT", url, key, {"Host": url.removeprefix("http://"), **headers}, {})
        authorization = signer.authorization(request, Window(now - 60, now + 60))
        sent = {**headers, "Authorization": authorization, "x-cos-security-token": temporary["sessionToken"]}
        self._send("PUT", f"{url}/{encode_key(key)}", sent, body, expected)

    def _bff(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._world.identities.api_key}", "X-Principal": user}

    def _jwt(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._world.identities.token(user, int(time.time()))}"}

    def _ask(self, path: str, identity: Mapping[str, str], ask: Mapping[str, Any], expected: int) -> Any:
        who = identity.get("X-Principal")
        body = json.dumps(ask)
        self._say(f"  > POST /v1/{path}   as {f'API key for {who}' if who else 'JWT'}   {body}")
        headers = {**identity, "Content-Type": "application/json"}
        answer = _Answer(*local.send("POST", f"{self._world.url}/v1/{path}", headers, body.encode()))
        self._say(f"  < {answer.status} {shortened(json.dumps(answer.json))}")
        self._told(answer.status == expected, f"expected {expected}")
        return answer.json

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, expected: int) -> _Answer:
        shown = {name: shortened(value) for name, value in headers.items()}
        self._say(f"  > {method} {shortened(url)}   {json.dumps(shown, ensure_ascii=False)}   {len(body)} bytes")
        answer = _Answer(*local.send(method, url, headers, body))
        code = re.search(rb"<Code>(\w+)</Code>\s*<Message>([^<]*)", answer.body)
        said = f"{code[1].decode()}: {code[2].decode()}" if code else f"{len(answer.body)} bytes"
        self._say(f"  < COS {answer.status} {said}   ETag {answer.headers.get('etag', '-')}")
        self._told(answer.status == expected, f"expected {expected}")
        return answer

    def _title(self, text: str) -> None:
        self._say(f"\n{text}")

    def _told(self, held: bool, what: str) -> None:
        self.told += 1
        self.held += held
        self._say(f"  {'ok' if held else 'NOT AS PROMISED'}: {what}")


_SECRETS = re.compile(
    r"""(?P<name>q-signature=|q-ak=|x-cos-security-token=
          |"(?:tmpSecretId|tmpSecretKey|sessionToken|x-cos-security-token)":\s")?
        (?P<value>(?(name)[^"&\s]{12,}|\b[A-Za-z0-9_+=-]{41,}))""",
    re.VERBOSE,
)


def shortened(text: str) -> str:
    """A text in which no secret is whole: what stands behind their names, and every long run of their characters."""
    return _SECRETS.sub(lambda found: f"{found['name'] or ''}{found['value'][:8]}…{found['value'][-4:]}", text)


def png(size: int) -> bytes:
    """A square picture of `size` pixels: a real file, made here so that none has to be shipped."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // size, y * 255 // size, (x ^ y) & 255)) for x in range(size))
        for y in range(size)
    )
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
