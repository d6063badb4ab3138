"""The verb about buckets: which CORS rule browsers need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from broker.cli.policies import find_route
from broker.cli.reporting import reports_errors
from broker.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from broker.settings import Settings


@click.command("cors")
@click.argument("route")
@click.option(
    "--origin", "origins", multiple=True, metavar="URL", help="Origin of the pages; default: BROKER_CORS_ORIGINS."
)
@click.option("--format", "form", default="json", show_default=True, type=click.Choice(["json", "xml"]))
@reports_errors
def cors_rule(route: str, origins: tuple[str, ...], form: str) -> None:
    """Print the CORS rule that the bucket needs, so that browsers can use what a route vends.

    As JSON it is what put_bucket_cors of the official Python SDK takes, as XML the body of PUT Bucket cors. Either
    replaces all rules of the bucket: where it has others, add this one's CORSRule to theirs.
    """
    from broker import parts
    from broker.cos.cors import xml
    from broker.policy import catalog, cors
    from broker.settings import Settings

    settings = Settings.from_environ(serving=False)
    found = find_route(catalog.load(settings.policies, parts.limits(settings)), route, settings.policies)
    rule = cors.rule(found, _origins(origins, settings))
    if not rule.methods:
        vends = ", ".join(found.document.vends)
        raise ConfigurationError([Problem(route, "vends", f"browsers send nothing to the bucket for {vends}")])
    told = rule.configuration()
    click.echo(xml(told) if form == "xml" else json.dumps(told, indent=2))


def _origins(given: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    from broker.cos.cors import origin_flaw

    problems = [
        Problem("--origin", "", f"{flaw}, got {text!r}") for text in given if (flaw := origin_flaw(text)) is not None
    ]
    if problems:
        raise ConfigurationError(problems)
    if not given and not settings.cors_origins:
        message = "is missing: give each origin of the pages, as in https://app.example, or set BROKER_CORS_ORIGINS"
        raise ConfigurationError([Problem("--origin", "", message)])
    return given or settings.cors_origins
