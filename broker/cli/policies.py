"""Verbs about policies: are they sound, what do they permit, and is that so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broker.cli.reporting import counted, end_on_sigterm, pairs_of, reports_errors, without_logs
from broker.errors import ConfigurationError, NotFound, quoted

if TYPE_CHECKING:
    from broker.identity.principals import Principal
    from broker.policy.catalog import Catalog
    from broker.policy.differences import Difference
    from broker.policy.routes import Route

_FORMAT = click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))


def _asked(key: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of an ask: who asks, and for what. `key` is the help of --key."""
    options = (
        click.argument("route"),
        click.option(
            "--as", "claims", multiple=True, metavar="CLAIM=VALUE", help="Claims of the principal; none: anonymous."
        ),
        click.option("--key", help=key),
        click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="Inputs of the key."),
        click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Headers of the request."),
        click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Its query parameters."),
    )

    def add(verb: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return add


def _principal(claims: tuple[str, ...]) -> Principal:
    from broker.identity.principals import ANONYMOUS, Principal

    return Principal(pairs_of(claims, "--as")) if claims else ANONYMOUS


def find_route(found: Catalog, name: str, folder: Path) -> Route:
    """The route of a folder by name. Raises NotFound with those there are."""
    if name not in found.routes:
        known = ", ".join(found.routes)
        raise NotFound("route_not_found", f"no policy {quoted(name)} in {folder} (BROKER_POLICIES); it holds {known}")
    return found.routes[name]


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_FORMAT
@click.option("--diff", "old", type=click.Path(path_type=Path), metavar="OLD_DIR", help="Say what widens and narrows.")
@reports_errors
def check(folder: Path | None, form: str, old: Path | None) -> None:
    """Check a folder of policy files (BROKER_POLICIES by default); exit 1 if any would be refused.

    Each file's own tests are run. With --diff: what the folder permits that OLD_DIR does not, and the other way round.
    """
    from broker import parts
    from broker.policy import catalog
    from broker.policy.differences import differences
    from broker.settings import Settings

    errors, found, changes = [], None, None
    try:
        settings = Settings.from_environ(serving=False)
        found = catalog.load(folder or settings.policies, parts.limits(settings))
        if old is not None:
            changes = differences(catalog.load(old, parts.limits(settings)).routes, found.routes)
    except ConfigurationError as error:
        errors = list(error.problems)
    told = [("error", one) for one in errors] + [("warning", one) for one in (found.warnings if found else ())]
    if form == "json":
        fields = [
            {"level": level, "file": one.source, "line": one.line, "field": one.field, "message": one.message}
            for level, one in told
        ]
        whole = {"ok": not errors, "routes": len(found.routes) if found else 0, "problems": fields}
        click.echo(json.dumps({**whole, **_described(changes)}, indent=2))
    else:
        for level, problem in told:
            click.echo(f"{level}: {problem}", err=level == "error")
        for change in changes or ():
            click.echo(str(change))
        click.echo(counted(len(errors), "error") if errors else _summary(found, changes), err=bool(errors))
    sys.exit(1 if errors else 0)


def _described(changes: list[Difference] | None) -> dict[str, Any]:
    if changes is None:
        return {}
    names = ("route", "field", "effect", "message")
    return {"differences": [{name: getattr(change, name) for name in names} for change in changes]}


def _summary(found: Catalog | None, changes: list[Difference] | None) -> str:
    assert found is not None  # noqa: S101  without errors there is one
    tests = sum(len(route.document.tests) for route in found.routes.values())
    parts = [counted(len(found.routes), "route"), counted(tests, "test"), counted(len(found.warnings), "warning")]
    return ", ".join(parts if changes is None else [*parts, counted(len(changes), "difference")])


@click.command()
@_asked("Object key, instead of inputs.")
@click.option("--try", "tries", multiple=True, metavar="'METHOD KEY'", help="A request: which lock says what to it.")
@reports_errors
def explain(route: str, claims: tuple[str, ...], key: str | None, tries: tuple[str, ...], **pairs: Any) -> None:
    """Show what a route makes of a principal: key, credentials, CAM documents, lifetimes; nobody is asked for any.

    --try "PUT avatars/u2/x.png" tells whether the broker would grant it, and which statement allows or denies it.
    """
    from broker import explaining, parts
    from broker.app import system_clock
    from broker.cli import explained as layout
    from broker.policy import catalog
    from broker.policy.asks import Ask
    from broker.settings import Settings

    settings = Settings.from_environ(serving=False)
    asked = {name: pairs_of(texts, f"--{name[:-1]}") for name, texts in pairs.items()}
    if key is not None and asked["inputs"]:
        raise click.UsageError("--key and --input exclude each other")
    if not tries and (asked["headers"] or asked["params"]):
        raise click.UsageError("--header and --param are those of a request: give it by --try")
    found = find_route(catalog.load(settings.policies, parts.limits(settings)), route, settings.policies)
    requests = [explaining.parse_request(text) for text in tries]
    ask = Ask(
        found.document.vends[0],
        key=key,
        inputs=asked["inputs"] or None,
        headers=asked["headers"],
        params=asked["params"],
    )
    explained = explaining.explain(found, found.admit(_principal(claims)), ask, system_clock())
    source = settings.secret_id
    fingerprint = (lambda scope: scope.fingerprint(source, settings.sts_endpoint)) if source else None
    for line in layout.lines(explained, fingerprint):
        click.echo(line)
    for request in requests:
        click.echo("")
        for line in layout.tried(explained, request, system_clock()):
            click.echo(line)


@click.command()
@_asked("Object key, instead of inputs.")
@click.option("--vend", "vend_name", metavar="VEND", help="What to vend; default: the first that the route lists.")
@click.option("--method", help="HTTP method to sign.")
@click.option("--expires-in", type=int, metavar="SECONDS", help="How long it is to live.")
@click.option("--filename", help="Name to save a download under.")
@click.option("--step", help="Of a multipart upload: initiate, parts, list, complete or abort.")
@click.option("--upload-id", help="What COS gave at initiate.")
@click.option("--size", type=int, metavar="BYTES", help="Of the whole upload.")
@click.option("--parts", metavar="FROM-TO", help="Which parts to sign.")
@reports_errors
def vend(route: str, claims: tuple[str, ...], vend_name: str | None, parts: str | None, **asked: Any) -> None:
    """Vend from the command line, as the given principal; every check but authentication applies."""
    from broker.app import Broker
    from broker.settings import Settings
    from broker.web import messages

    settings = Settings.from_environ(serving=False)
    broker = Broker(settings=settings)
    found = find_route(broker.policies, route, settings.policies)
    name = vend_name if vend_name is not None else found.document.vends[0]
    pairs = {one: pairs_of(asked.pop(one), f"--{one[:-1]}") for one in ("inputs", "headers", "params")}
    numbers = {"parts": _range_of(parts)} if parts is not None else {}
    ask = {one: value for one, value in {**asked, **pairs, **numbers}.items() if value is not None and value != {}}
    with without_logs():
        grant = broker.vend(route, {"vend": name, **ask}, _principal(claims))
    click.echo(json.dumps(json.loads(messages.answer(grant)), indent=2, ensure_ascii=False))


def _range_of(text: str) -> dict[str, int]:
    first, separator, last = text.partition("-")
    if not (separator and first.isdecimal() and last.isdecimal()):
        raise click.UsageError(f"--parts takes FROM-TO, as in 1-200, got {text!r}")
    return {"from": int(first), "to": int(last)}


@click.command()
@_asked("Object key; for uploads and deletions one that does not exist.")
@_FORMAT
@reports_errors
def probe(route: str, claims: tuple[str, ...], key: str | None, form: str, **pairs: tuple[str, ...]) -> None:
    """Mint for real and prove a route's scope against the live endpoint; exit 1 unless all is as promised.

    What each vend allows is done inside, everything else is tried and has to be refused. No object that exists is
    written or deleted, and what the probe makes it removes, unfinished uploads included.
    """
    from broker.app import system_clock
    from broker.probing import asking, running
    from broker.probing.verdicts import Attempt
    from broker.settings import Settings

    end_on_sigterm()
    given = asking.Given(key=key, **{name: pairs_of(texts, f"--{name[:-1]}") for name, texts in pairs.items()})
    settings = Settings.from_environ(serving=False)
    routes, cloud = running.opened(settings, system_clock)
    attempts: list[Attempt] = []

    def tell(attempt: Attempt) -> None:
        attempts.append(attempt)
        if form == "text":
            click.echo(attempt.line())

    running.probe(find_route(routes, route, settings.policies), _principal(claims), given, cloud, tell)
    held = sum(attempt.held for attempt in attempts)
    if form == "json":
        told = [attempt.described() for attempt in attempts]
        click.echo(json.dumps({"ok": held == len(told), "route": route, "attempts": told}, indent=2))
    else:
        click.echo(f"{held} of {len(attempts)} as promised")
    sys.exit(0 if held == len(attempts) else 1)


@click.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors; policies/policy.schema.json is it."""
    from broker.policy.schema import schema_text

    click.echo(schema_text(), nl=False)


@click.command()
@click.option("--role", metavar="ROLE_ARN", help="Print what this role of the routes needs, instead of the key.")
@reports_errors
def cam(role: str | None) -> None:
    """Print the least CAM policy that the broker's own key needs for the routes of BROKER_POLICIES, as JSON.

    The union of all that the routes can hand on: nobody is asked for anything.
    """
    from broker import parts
    from broker.policy import catalog, own_key
    from broker.settings import Settings

    settings = Settings.from_environ(serving=False)
    routes = catalog.load(settings.policies, parts.limits(settings)).routes.values()
    roles = sorted({one.document.credential.role_arn or "" for one in routes} - {""})
    if role is not None and role not in roles:
        raise click.UsageError(
            f"--role must be one that a route names ({', '.join(roles) or 'none does'}), got {role!r}"
        )
    policy = own_key.own_key_policy(routes) if role is None else own_key.role_policy(routes, role)
    click.echo(json.dumps(policy, indent=2))
