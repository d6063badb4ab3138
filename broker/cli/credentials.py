"""Verbs about what the fleet has cached."""

from __future__ import annotations

import json
from typing import Any

import click

from broker.cli.reporting import counted, reports_errors, without_logs


@click.group()
def credentials() -> None:
    """What the fleet has cached in Redis."""


_WHICH = click.argument("which", metavar="[ROUTE|FINGERPRINT]", required=False)


@credentials.command("list")
@_WHICH
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@reports_errors
def list_credentials(which: str | None, form: str) -> None:
    """List cached credentials, all or those of a route or a fingerprint (its first 8 digits or more). No secrets."""
    from broker import inventory

    with without_logs():
        found = _inventory().find(which)
    if form == "json":
        click.echo(json.dumps([holding.described() for holding in found], indent=2))
        return
    rows = [inventory.COLUMNS, *(holding.row() for holding in found)] if found else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    click.echo(counted(len(found), "credential"))


@credentials.command("forget")
@click.argument("which", metavar="ROUTE|FINGERPRINT")
@reports_errors
def forget_credentials(which: str) -> None:
    """Drop cached credentials: from Redis at once, from every process within 2 s. Those handed out live on."""
    with without_logs():
        dropped = _inventory().forget(which)
    click.echo(f"{counted(dropped, 'credential')} dropped from Redis; every process drops its own within 2 s")


def _inventory() -> Any:
    from broker import inventory
    from broker.app import system_clock
    from broker.settings import Settings

    return inventory.opened(Settings.from_environ(serving=False), system_clock())
