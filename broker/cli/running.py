"""Verbs that run something: the API, or all of it on loopback."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from pathlib import Path

import click

from broker.cli.reporting import end_on_sigterm, reports_errors


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes.")
@click.option("--threads", default=32, show_default=True, type=click.IntRange(1, 512), help="Threads in each process.")
@click.option(
    "--drain-delay", default=2.0, show_default=True, type=click.FloatRange(0, 60), metavar="SECONDS",
    help="How long SIGTERM makes it not ready before it closes: longer than a balancer takes to see that.",
)  # fmt: skip
@reports_errors
def serve(host: str, port: int, workers: int, threads: int, drain_delay: float) -> None:
    """Serve the API; everything else comes from the environment."""
    from broker import serving

    serving.serve(host, port, workers, threads, drain_delay)


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="The broker's.")
@click.option("--emulator-port", default=9000, show_default=True, type=click.IntRange(1, 65535), help="The emulator's.")
@reports_errors
def dev(port: int, emulator_port: int) -> None:
    """Keep a broker and an emulator of STS and COS running on loopback, with keys made for this run.

    Pages of BROKER_CORS_ORIGINS may use both, as far as the bucket's CORS rules let them: those that `cors` prints.
    """
    from broker import demo

    end_on_sigterm()
    demo.dev(_policies(), click.echo, port, emulator_port, os.environ.get("BROKER_CORS_ORIGINS", ""))


@click.command()
@reports_errors
def demo() -> None:
    """Upload a real file through a vended URL, download it back, and see three forbidden things refused."""
    from broker import demo as steps

    end_on_sigterm()
    if not steps.demo(_policies(), click.echo):
        sys.exit(1)


@click.command()
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Keep objects in this folder.")
@reports_errors
def emulate(port: int, data: Path | None) -> None:
    """Run the emulator of STS and COS alone. Its account key is TENCENTCLOUD_SECRET_ID/KEY, else made and printed."""
    from broker.emulator.server import Emulator

    end_on_sigterm()
    names = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY")
    account = [os.environ.get(name, "") for name in names]
    if any(account) and not all(account):
        raise click.UsageError(f"set both {names[0]} and {names[1]}, or neither")
    made = not any(account)
    if made:
        account = [f"AKID{secrets.token_hex(16)}", secrets.token_hex(16)]
    with Emulator((account[0], account[1]), port=port, data_dir=data) as emulator:
        click.echo(f"# STS and COS at {emulator.url}; Ctrl-C ends. A broker beside it takes a way to authenticate and:")
        for name, value in zip(names, account, strict=True) if made else ():
            click.echo(f"export {name}={value}")
        click.echo(f"export BROKER_STS_ENDPOINT={emulator.url}")
        click.echo(f"export BROKER_COS_ENDPOINT='http://{{bucket}}.localhost:{emulator.port}'")
        _wait_for_ctrl_c()


def _policies() -> Path:
    return Path(os.environ.get("BROKER_POLICIES") or "policies")


def _wait_for_ctrl_c() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("")
