"""The folder of policy files -> routes, and again as it changes. The one place of this room that reads files."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from broker import strict_json
from broker.errors import ConfigurationError, NotFound, Problem, quoted
from broker.policy import examples, fields, lint, parsing
from broker.policy.checks import check
from broker.policy.limits import Limits
from broker.policy.lines import line_of, lines
from broker.policy.routes import Route, compile_route

SCHEMA_FILE = "policy.schema.json"
_FILE_BYTES = 256 * 1024
_JSON_DEPTH = 16
# A file that changed so short a time ago can change again within the same tick of its clock: it is read once more.
_SETTLING_NS = 2_000_000_000
_PROBLEMS = 100
_GONE = (FileNotFoundError, NotADirectoryError)
_logger = logging.getLogger("broker.policies")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every route of a folder. `generation` counts the changes of what is served; `warnings` never keep a file out.

    `problems`: what is wrong with the folder as it stands now; routes of files with problems are their last good ones.
    """

    routes: Mapping[str, Route]
    warnings: tuple[Problem, ...]
    problems: tuple[Problem, ...] = ()
    generation: int = 1

    def route(self, name: str) -> Route:
        """The route of this name. Raises NotFound."""
        found = self.routes.get(name)
        if found is None:
            raise NotFound("route_not_found", f"no route {quoted(name)}; GET /v1 lists the routes you may use")
        return found


@dataclass(frozen=True, slots=True)
class _File:
    """A policy file as last read: its route, or the problems that keep it out. `gone`: there is nothing to read."""

    signature: tuple[int, ...] | None
    digest: bytes = b""
    route: Route | None = None
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    gone: bool = False


def load(folder: Path, limits: Limits) -> Catalog:
    """The routes of all `*.json` files in a folder. Raises ConfigurationError with every problem of every file."""
    return Folder(folder, limits).catalog


class Folder:
    """A folder of policy files and what was read of it.

    Raises ConfigurationError if any of it is not sound; if `tolerant`, what is sound is served and the rest told.
    """

    def __init__(self, folder: Path, limits: Limits, *, tolerant: bool = False) -> None:
        self._folder = folder
        self._limits = limits
        self._files: dict[Path, _File] = {}
        self._served: dict[Path, _File] = {}  # the last good version of each file
        self.catalog = Catalog({}, (), generation=0)
        self.refresh(0)
        if self.catalog.problems and not tolerant:
            raise ConfigurationError(self.catalog.problems)

    def refresh(self, now_ns: int) -> Catalog:
        """The catalog of what the folder holds now; the same object if nothing has changed. Never raises.

        `now_ns` is the time by the clock of the file system.
        """
        problems: list[Problem] = []
        try:
            paths = _policy_files(self._folder)
            if not paths:
                problems.append(Problem(str(self._folder), "", "holds no policy file (*.json), so there is no route"))
        except OSError as error:
            problems.append(Problem(str(self._folder), "", f"is no readable folder: {error.strerror}"))
            # What is gone is closed; what cannot be looked at is left as it was.
            paths = [] if isinstance(error, _GONE) else list(self._files)
        self._files = {path: self._file(path, now_ns) for path in paths}
        self._publish(problems)
        return self.catalog

    def _file(self, path: Path, now_ns: int) -> _File:
        known = self._files.get(path, _File(None))
        try:
            signature, changed_ns = _signature(path)
            if signature == known.signature:
                return known
            data = _bytes(path)
        except _GONE:
            # Since the folder was read; or a link to nothing, which is told as long as it stands there.
            told = (Problem(str(path), "", "is a link to a file that is not there"),) if path.is_symlink() else ()
            return _File(None, problems=told, gone=True)
        except OSError as error:
            return _File(None, problems=(Problem(str(path), "", f"cannot be read: {error.strerror}"),))
        settled = signature if now_ns - changed_ns > _SETTLING_NS else None
        digest = hashlib.sha256(data).digest()
        for version in (known, self._served.get(path, known)):
            if digest == version.digest:
                return replace(version, signature=settled)
        return replace(_read(path, data, self._limits), signature=settled, digest=digest)

    def _publish(self, problems: list[Problem]) -> None:
        strangers = self._strangers()
        before, self._served = self._served, {}
        for path, file in self._files.items():
            if file.route is not None and path not in strangers:
                self._served[path] = file
            elif path in before and not file.gone:
                self._served[path] = before[path]
        routes = {file.route.name: file.route for file in self._served.values() if file.route is not None}
        found = (*problems, *(one for path, file in self._files.items() for one in strangers.get(path, file.problems)))
        same = _identities(routes) == _identities(self.catalog.routes)
        if same and found == self.catalog.problems:
            return
        warnings = tuple(warning for file in self._served.values() for warning in file.warnings)
        self.catalog = Catalog(routes, warnings, found, self.catalog.generation + (not same))

    def _strangers(self) -> dict[Path, tuple[Problem, ...]]:
        """The files that name another bucket than most, if BROKER_COS_ENDPOINT is one bucket's, without `{bucket}`."""
        if "{bucket}" in self._limits.cos_endpoint:
            return {}
        named = {
            path: file.route.document.bucket
            for path, file in self._files.items()
            if file.route is not None and file.route.document.endpoint is None
        }
        served = {file.route.document.bucket for file in self._served.values() if file.route is not None}
        count = Counter(named.values())
        usual = max(count, key=lambda bucket: (count[bucket], bucket in served), default="")
        message = f"must be {usual}, as in other files: BROKER_COS_ENDPOINT has no {{bucket}}"
        return {
            path: _located(path, [("bucket", message)], _kept(path)) for path, name in named.items() if name != usual
        }


def _identities(routes: Mapping[str, Route]) -> dict[str, int]:
    return {name: id(route) for name, route in routes.items()}


def _policy_files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    wanted = [name for name in names if name.endswith(".json") and not name.startswith(".") and name != SCHEMA_FILE]
    return [folder / name for name in sorted(wanted)]


def _signature(path: Path) -> tuple[tuple[int, ...], int]:
    """(what changes when the file behind a path does, when it last did in nanoseconds). Raises OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")  # to open a pipe would wait for ever
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns), found.st_ctime_ns


def _read(path: Path, data: bytes, limits: Limits) -> _File:
    """One version of a file."""
    try:
        route, problems = _route(path, data, limits)
        warnings = list(lint.warnings(route.document, route.template)) if route is not None else []
        return _File(None, b"", route, _located(path, warnings, data), problems)
    except Exception as error:  # one file's trouble must not keep others from being read, or closed
        _logger.exception("a policy file could not be read")
        message = f"could not be read, by a mistake of the broker's own ({type(error).__name__}): please report it"
        return _File(None, problems=(Problem(str(path), "", message),))


def _route(path: Path, data: bytes, limits: Limits) -> tuple[Route | None, tuple[Problem, ...]]:
    """(the route, or None with the problems of its file)."""
    name = path.name.removesuffix(".json")
    problems: list[tuple[str, str]] = []
    if not fields.NAME.fullmatch(name):
        problems.append(("", f"a route is named by a-z 0-9 -, 1 to 63 characters, got {quoted(name)}"))
    if len(data) > _FILE_BYTES:
        return None, _located(path, [*problems, ("", f"must be at most {_FILE_BYTES} bytes, got more")], None)
    try:
        raw = strict_json.loads(data, max_depth=_JSON_DEPTH)
    except strict_json.StrictJsonError as error:
        which = f" of {quoted(error.member)}" if error.member is not None else ""
        return None, _located(path, [*problems, ("", f"is not valid JSON: {error}{which}")], None, error.line)
    parsed, shape_problems, unsound = parsing.parse(raw, limits.variables)
    problems += [*shape_problems, *check(parsed, unsound, limits)]
    if not problems:
        route = compile_route(name, parsed, limits)
        problems += examples.failures(route)
        if not problems:
            return route, ()
    return None, _located(path, problems, data)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES + 1)


def _kept(path: Path) -> bytes | None:
    try:
        return _bytes(path)
    except OSError:
        return None


def _located(
    path: Path, problems: Sequence[tuple[str, str]], data: bytes | None, line: int | None = None
) -> tuple[Problem, ...]:
    """Problems with their lines, as far as they can be told; of very many the first."""
    known = lines(data.decode()) if problems and data is not None else {}
    told = [
        Problem(str(path), field, message, line_of(field, known) if known else line)
        for field, message in problems[:_PROBLEMS]
    ]
    if len(problems) > _PROBLEMS:
        told.append(Problem(str(path), "", f"and {len(problems) - _PROBLEMS} more"))
    return tuple(told)
