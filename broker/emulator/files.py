"""What --data keeps: one file for each thing that is stored, a line of JSON and then the bytes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from broker.errors import ConfigurationError, Problem

Kept = TypeVar("Kept")


def make(folder: Path) -> None:
    """The folder exists afterwards. Raises ConfigurationError if it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([Problem(str(folder), "", f"cannot be made: {error.strerror}")]) from None


def write(path: Path, head: Mapping[str, Any], body: bytes) -> None:
    """Write one file as a whole, or leave what was there."""
    # NOTE: the layout of the files that --data keeps; older folders must stay readable.
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".unfinished")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def read(path: Path, understand: Callable[[Mapping[str, Any], bytes], Kept]) -> Kept:
    """What `understand` makes of a file's head and bytes. Raises ConfigurationError for a file of someone else's."""
    try:
        with path.open("rb") as file:
            return understand(json.loads(file.readline()), file.read())
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = Problem(str(path), "", f"is not a file that the emulator wrote ({error!r}); remove it")
        raise ConfigurationError([problem]) from error
