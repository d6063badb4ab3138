"""Verbs that make keys for the broker's own use."""

from __future__ import annotations

import base64
import json
import secrets

import click

from broker.cli.reporting import reports_errors


@click.group()
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
@reports_errors
def api_key(key_id: str, sub: str | None, acts_for: str | None, claims: str | None, *, operations: bool) -> None:
    """An entry for BROKER_API_KEYS on stdout, and ID.SECRET, shown once, on stderr.

    The file is {"keys": [ENTRY, ...]}; fixed claims, routes, rate and expires_at are added to the entry by hand.
    """
    from broker.identity.api_keys import new_api_key

    names = [name.strip() for name in claims.split(",")] if claims else []
    entry, secret = new_api_key(key_id, sub=sub, acts_for=acts_for, claims=names, operations=operations)
    click.echo(json.dumps(entry))
    click.echo(secret, err=True)
