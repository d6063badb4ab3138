"""The folder of policy files -> routes, and again as it changes. The one place of this room that reads files."""

from __future__ import annotations

import hashlib
import os
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
    """A policy file as last read: `route` is its last good version, `problems` keep the present one out."""

    signature: tuple[int, ...] | None
    digest: bytes = b""
    route: Route | None = None
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def load(folder: Path, limits: Limits) -> Catalog:
    """The routes of all `*.json` files in a folder. Raises ConfigurationError with every problem of every file."""
    return Folder(folder, limits).catalog


class Folder:
    """A folder of policy files and what was read of it. Raises ConfigurationError if any of it is not sound."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._files: dict[Path, _File] = {}
        self.catalog = Catalog({}, (), generation=0)
        self.refresh(0)
        if self.catalog.problems:
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
            paths = [] if isinstance(error, (FileNotFoundError, NotADirectoryError)) else list(self._files)
        self._files = self._within_one_bucket({path: self._file(path, now_ns) for path in paths})
        self._publish(problems)
        return self.catalog

    def _file(self, path: Path, now_ns: int) -> _File:
        known = self._files.get(path, _File(None))
        try:
            signature, changed_ns = _signature(path)
            if signature == known.signature:
                return known
            data = _bytes(path)
        except FileNotFoundError:
            # Gone since the folder was read, or a link to nothing: closed, and told as long as it stands there.
            told = (Problem(str(path), "", "is a link to a file that is not there"),) if path.is_symlink() else ()
            return _File(None, problems=told)
        except OSError as error:
            return replace(known, signature=None, digest=b"", problems=(_unreadable(path, error),))
        settled = signature if now_ns - changed_ns > _SETTLING_NS else None
        digest = hashlib.sha256(data).digest()
        if digest == known.digest:
            return replace(known, signature=settled)
        route, problems = _route(path, data, self._limits)
        if route is None:
            return _File(settled, digest, known.route, known.warnings, tuple(problems))
        warnings = list(lint.warnings(route.document, route.template))
        return _File(settled, digest, route, tuple(_located(path, warnings, data)))

    def _within_one_bucket(self, files: dict[Path, _File]) -> dict[Path, _File]:
        """Without `{bucket}` in BROKER_COS_ENDPOINT all routes have one bucket: the one of those served already."""
        if "{bucket}" in self._limits.cos_endpoint:
            return files
        served = [route.document for route in self.catalog.routes.values() if route.document.endpoint is None]
        bucket = served[0].bucket if served else ""
        for path, file in files.items():
            if file.route is None or file.route.document.endpoint is not None:
                continue
            bucket = bucket or file.route.document.bucket
            if file.route.document.bucket != bucket:
                message = f"must be {bucket}, as in other files: BROKER_COS_ENDPOINT has no {{bucket}}"
                kept = self._files.get(path, _File(None)).route
                files[path] = replace(file, route=kept, problems=(Problem(str(path), "bucket", message),))
        return files

    def _publish(self, problems: list[Problem]) -> None:
        files = self._files.values()
        routes = {file.route.name: file.route for file in files if file.route is not None}
        found = (*problems, *(problem for file in files for problem in file.problems))
        same = _identities(routes) == _identities(self.catalog.routes)
        if same and found == self.catalog.problems:
            return
        warnings = tuple(warning for file in files for warning in file.warnings)
        self.catalog = Catalog(routes, warnings, found, self.catalog.generation + (not same))


def _identities(routes: Mapping[str, Route]) -> dict[str, int]:
    return {name: id(route) for name, route in routes.items()}


def _policy_files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    wanted = [name for name in names if name.endswith(".json") and not name.startswith(".") and name != SCHEMA_FILE]
    return [folder / name for name in sorted(wanted)]


def _signature(path: Path) -> tuple[tuple[int, ...], int]:
    """(what changes when the file behind a path does, when it last did in nanoseconds)."""
    found = path.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns), found.st_ctime_ns


def _route(path: Path, data: bytes, limits: Limits) -> tuple[Route | None, list[Problem]]:
    """(the route, or None with the problems of its file)."""
    name = path.name.removesuffix(".json")
    problems: list[tuple[str, str]] = []
    if not fields.NAME.fullmatch(name):
        problems.append(("", f"a route is named by a-z 0-9 -, 1 to 63 characters, got {quoted(name)}"))
    if len(data) > _FILE_BYTES:
        return None, _unlocated(path, [*problems, ("", f"must be at most {_FILE_BYTES} bytes, got more")])
    try:
        raw = strict_json.loads(data, max_depth=_JSON_DEPTH)
    except strict_json.StrictJsonError as error:
        which = f" of {quoted(error.member)}" if error.member is not None else ""
        return None, _unlocated(path, [*problems, ("", f"is not valid JSON: {error}{which}")], error.line)
    parsed, shape_problems, unsound = parsing.parse(raw, limits.variables)
    problems += [*shape_problems, *check(parsed, unsound, limits)]
    if not problems:
        route = compile_route(name, parsed, limits)
        problems += examples.failures(route)
        if not problems:
            return route, []
    return None, _located(path, problems, data)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES + 1)


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(str(path), "", f"cannot be read: {error.strerror}")


def _located(path: Path, problems: Sequence[tuple[str, str]], data: bytes) -> list[Problem]:
    known = lines(data.decode()) if problems else {}
    return [Problem(str(path), field, message, line_of(field, known)) for field, message in problems]


def _unlocated(path: Path, problems: Sequence[tuple[str, str]], line: int | None = None) -> list[Problem]:
    return [Problem(str(path), field, message, line) for field, message in problems]
