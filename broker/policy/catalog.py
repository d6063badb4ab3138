"""The folder of policy files -> routes. The one place of this room that reads files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker import strict_json
from broker.errors import ConfigurationError, NotFound, Problem, quoted
from broker.policy import document, lint
from broker.policy.checks import Limits, check
from broker.policy.routes import Route, compile_route

SCHEMA_FILE = "policy.schema.json"
_FILE_BYTES = 256 * 1024
_JSON_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every route of a folder. `generation` counts loads; `warnings` never keep a file out."""

    routes: Mapping[str, Route]
    warnings: tuple[Problem, ...]
    generation: int = 1

    def route(self, name: str) -> Route:
        """The route of this name. Raises NotFound."""
        found = self.routes.get(name)
        if found is None:
            raise NotFound("route_not_found", f"no route {quoted(name)}; GET /v1 lists the routes you may use")
        return found


def load(folder: Path, limits: Limits) -> Catalog:
    """The routes of all `*.json` files in a folder. Raises ConfigurationError with every problem of every file."""
    routes: dict[str, Route] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for path in _policy_files(folder):
        route, found = _read(path, limits)
        problems += found
        if route is not None:
            routes[route.name] = route
            warnings += _located(path, lint.warnings(route.document, route.template))
    if problems:
        raise ConfigurationError(problems)
    return Catalog(routes, tuple(warnings))


def _policy_files(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigurationError([Problem(str(folder), "", f"is no readable folder: {error.strerror}")]) from None
    found = [path for path in entries if path.suffix == ".json" and not path.name.startswith(".")]
    files = [path for path in found if path.name != SCHEMA_FILE]
    if not files:
        raise ConfigurationError([Problem(str(folder), "", "holds no policy file (*.json), so there is no route")])
    return files


def _read(path: Path, limits: Limits) -> tuple[Route | None, list[Problem]]:
    """(the route, or None with the problems of its file)."""
    name = path.name.removesuffix(".json")
    problems: list[tuple[str, str]] = []
    if not document.NAME.fullmatch(name):
        problems.append(("", f"a route is named by a-z 0-9 -, 1 to 63 characters, got {quoted(name)}"))
    try:
        raw = strict_json.loads(_bytes(path), max_depth=_JSON_DEPTH)
    except OSError as error:
        return None, _located(path, [*problems, ("", f"cannot be read: {error.strerror}")])
    except ValueError as error:
        twice = getattr(error, "member", None)
        which = f" of {quoted(twice)}" if twice is not None else ""
        return None, _located(path, [*problems, ("", f"is not valid JSON: {error}{which}")])
    parsed, shape_problems, unsound = document.parse(raw)
    problems += [*shape_problems, *check(parsed, unsound, limits)]
    return (None if problems else compile_route(name, parsed, limits)), _located(path, problems)


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > _FILE_BYTES:
        raise ValueError(f"a policy file has at most {_FILE_BYTES} bytes, got {len(data)}")
    return data


def _located(path: Path, problems: Iterable[tuple[str, str]]) -> list[Problem]:
    return [Problem(str(path), field, message) for field, message in problems]
