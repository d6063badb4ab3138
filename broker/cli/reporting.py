"""How verbs read what they are given and how they end: one clear line a problem, an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import click

from broker.errors import BrokerError, ConfigurationError, RequestError


def reports_errors(verb: Callable[..., None]) -> Callable[..., None]:
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
            hint = "; give --as CLAIM=VALUE to ask as a principal" if error.code == "unauthenticated" else ""
            click.echo(f"error: {error.code}: {error.detail}{hint}", err=True)
            errors = error.errors if isinstance(error, RequestError) else ()
            for one in errors if len(errors) > 1 else ():
                click.echo(f"  {one.field}: {one.message}", err=True)
            sys.exit(1)

    return run


@contextlib.contextmanager
def without_logs() -> Iterator[None]:
    """Keep the broker's log lines off stderr: the outcome says it all."""
    logger, handler = logging.getLogger("broker"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def end_on_sigterm() -> None:
    """End as Ctrl-C does, so that context managers stop what they started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def counted(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def pairs_of(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """The pairs of an option that may be given several times. Raises UsageError."""
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} takes NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs
