"""`python -m broker VERB`: every verb, its options and how it ends. The work itself is in the rooms."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from broker.errors import BrokerError, ConfigurationError, RequestError


def _reports_errors(verb: Callable[..., None]) -> Callable[..., None]:
    """One clear line for each problem and exit code 1, never a traceback."""

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(f"error: {problem}", err=True)
            sys.exit(1)
        except BrokerError as error:
            click.echo(f"error: {error.code}: {error.detail}", err=True)
            errors = error.errors if isinstance(error, RequestError) else ()
            for one in errors if len(errors) > 1 else ():
                click.echo(f"  {one.field}: {one.message}", err=True)
            sys.exit(1)

    return run


def _end_on_sigterm() -> None:
    # So that context managers stop what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Temporary credentials and signed URLs for Tencent Cloud Object Storage."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes.")
@click.option("--threads", default=32, show_default=True, type=click.IntRange(1, 512), help="Threads in each process.")
@_reports_errors
def serve(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the API; everything else comes from the environment."""
    from broker import serving

    serving.serve(host, port, workers, threads)


@main.command()
@_reports_errors
def dev() -> None:
    """Keep a broker and an emulator of STS and COS running on loopback, with keys made for this run."""
    from broker import demo

    _end_on_sigterm()
    demo.dev(_policies(), click.echo)


@main.command()
@_reports_errors
def demo() -> None:
    """Upload a real file through a vended URL, download it back, and see three forbidden things refused."""
    from broker import demo as steps

    _end_on_sigterm()
    if not steps.demo(_policies(), click.echo):
        sys.exit(1)


@main.command()
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Keep objects in this folder.")
@_reports_errors
def emulate(port: int, data: Path | None) -> None:
    """Run the emulator of STS and COS alone. Its account key is TENCENTCLOUD_SECRET_ID/KEY, else made and printed."""
    from broker.emulator.server import Emulator

    _end_on_sigterm()
    names = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY")
    account = [os.environ.get(name, "") for name in names]
    if any(account) and not all(account):
        raise click.UsageError(f"set both {names[0]} and {names[1]}, or neither")
    made = not any(account)
    if made:
        account = [f"AKID{secrets.token_hex(16)}", secrets.token_hex(16)]
    with Emulator((account[0], account[1]), port=port, data_dir=data) as emulator:
        click.echo(f"# STS and COS at {emulator.url}; Ctrl-C ends. For a broker beside it:")
        for name, value in zip(names, account, strict=True) if made else ():
            click.echo(f"export {name}={value}")
        click.echo(f"export BROKER_STS_ENDPOINT={emulator.url}")
        click.echo(f"export BROKER_COS_ENDPOINT='http://{{bucket}}.localhost:{emulator.port}'")
        _wait_for_ctrl_c()


@main.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@_reports_errors
def check(folder: Path | None, form: str) -> None:
    """Check a folder of policy files (BROKER_POLICIES by default); exit 1 if any would be refused."""
    from broker import parts
    from broker.policy import catalog
    from broker.settings import Settings

    errors, warnings, routes = [], [], 0
    try:
        settings = Settings.from_environ(serving=False)
        loaded = catalog.load(folder or settings.policies, parts.limits(settings))
        warnings, routes = list(loaded.warnings), len(loaded.routes)
    except ConfigurationError as error:
        errors = list(error.problems)
    if form == "json":
        told = [("error", one) for one in errors] + [("warning", one) for one in warnings]
        fields = [
            {"level": level, "file": p.source, "line": p.line, "field": p.field, "message": p.message}
            for level, p in told
        ]
        click.echo(json.dumps({"ok": not errors, "routes": routes, "problems": fields}, indent=2))
    else:
        for problem in warnings:
            click.echo(f"warning: {problem}")
        for problem in errors:
            click.echo(f"error: {problem}", err=True)
        whole = f"{_counted(routes, 'route')}, {_counted(len(warnings), 'warning')}"
        click.echo(_counted(len(errors), "error") if errors else whole, err=bool(errors))
    sys.exit(1 if errors else 0)


@main.command()
@click.argument("route")
@click.option("--as", "claims", multiple=True, required=True, metavar="CLAIM=VALUE", help="Claims of the principal.")
@click.option("--vend", "vend_name", help="url, download-url, signature or credentials; default: the route's first.")
@click.option("--method", help="HTTP method to sign.")
@click.option("--key", help="Object key.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="Inputs of the key.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Headers of the signed request.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Its query parameters.")
@click.option("--expires-in", type=int, help="Seconds.")
@click.option("--filename", help="Name to save a download under.")
@_reports_errors
def vend(route: str, claims: tuple[str, ...], vend_name: str | None, **asked: Any) -> None:
    """Vend from the command line, as the given principal; every check but authentication applies."""
    from broker.app import Broker
    from broker.identity.principals import Principal
    from broker.settings import Settings
    from broker.web import messages

    broker = Broker(settings=Settings.from_environ(serving=False))
    name = vend_name if vend_name is not None else broker.route(route).document.vends[0]
    pairs = {one: _pairs(asked.pop(one), f"--{one[:-1]}") for one in ("inputs", "headers", "params")}
    ask = {one: value for one, value in {**asked, **pairs}.items() if value is not None and value != {}}
    grant = broker.vend(route, {"vend": name, **ask}, Principal(_pairs(claims, "--as")))
    click.echo(json.dumps(json.loads(messages.answer(grant)), indent=2, ensure_ascii=False))


@main.group()
def credentials() -> None:
    """What the fleet has cached in Redis."""


_WHICH = click.argument("which", metavar="[ROUTE|FINGERPRINT]", required=False)


@credentials.command("list")
@_WHICH
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@_reports_errors
def list_credentials(which: str | None, form: str) -> None:
    """List cached credentials, all or those of a route or a fingerprint (its first 8 digits or more). No secrets."""
    from broker import inventory

    found = _inventory().find(which)
    if form == "json":
        click.echo(json.dumps([holding.described() for holding in found], indent=2))
        return
    rows = [inventory.COLUMNS, *(holding.row() for holding in found)] if found else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    click.echo(_counted(len(found), "credential"))


@credentials.command("forget")
@click.argument("which", metavar="ROUTE|FINGERPRINT")
@_reports_errors
def forget_credentials(which: str) -> None:
    """Drop cached credentials: from Redis at once, from every process within 2 s. Those handed out live on."""
    dropped = _inventory().forget(which)
    click.echo(f"{_counted(dropped, 'credential')} dropped from Redis; every process drops its own within 2 s")


@main.group()
def keygen() -> None:
    """Make keys for the broker's own use."""


@keygen.command()
def cache() -> None:
    """A key for BROKER_CACHE_KEYS, on stdout."""
    click.echo(base64.b64encode(secrets.token_bytes(32)).decode())


@keygen.command("api-key")
@click.argument("key_id", metavar="ID")
@click.option("--sub", help="The key always speaks for this subject.")
@click.option("--acts-for", metavar="PATTERN", help="It may name subjects that match, in X-Principal.")
@click.option("--claims", metavar="A,B", help="Claims it may set for them, in X-Principal-Claims.")
@click.option("--operations", is_flag=True, help="It may see /metrics.")
@_reports_errors
def api_key(key_id: str, sub: str | None, acts_for: str | None, claims: str | None, *, operations: bool) -> None:
    """An entry for BROKER_API_KEYS on stdout, and ID.SECRET, shown once, on stderr.

    The file is {"keys": [ENTRY, ...]}; fixed claims, routes and expires_at are added to the entry by hand.
    """
    from broker.identity.api_keys import new_api_key

    names = [name.strip() for name in claims.split(",")] if claims else []
    entry, secret = new_api_key(key_id, sub=sub, acts_for=acts_for, claims=names, operations=operations)
    click.echo(json.dumps(entry))
    click.echo(secret, err=True)


def _inventory() -> Any:
    import logging

    from broker import inventory
    from broker.app import system_clock
    from broker.settings import Settings

    logging.getLogger("broker").addHandler(logging.NullHandler())  # the outcome says it all
    return inventory.opened(Settings.from_environ(serving=False), system_clock())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _policies() -> Path:
    return Path(os.environ.get("BROKER_POLICIES") or "policies")


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} takes NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs


def _wait_for_ctrl_c() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("")
