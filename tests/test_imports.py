"""Who may import whom: the table of the house, held against every import of every room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BROKER = REPOSITORY / "broker"
MODULES = sorted(path.relative_to(REPOSITORY) for path in BROKER.rglob("*.py"))

# Room: the modules of ours that it may import, itself included. Rooms that wire everything together are not listed.
TABLE = {
    "broker/errors.py": (),
    "broker/strict_json.py": (),
    "broker/deadlines.py": (),
    "broker/patterns.py": (),
    "broker/logs.py": (),
    "broker/rates.py": (),
    "broker/draining.py": (),
    "broker/cos/": ("broker.cos",),
    "broker/identity/": (
        "broker.identity",
        "broker.errors",
        "broker.deadlines",
        "broker.strict_json",
        "broker.patterns",
        "broker.rates",
    ),
    "broker/policy/": (
        "broker.policy",
        "broker.identity.principals",
        "broker.cos",
        "broker.credentials.scope",
        "broker.credentials.demand",
        "broker.errors",
        "broker.strict_json",
        "broker.patterns",
        "broker.rates",
    ),
    "broker/client/": ("broker.client",),
    "broker/fleet/": ("broker.fleet", "broker.errors"),
    "broker/fleet/topology.py": (),
    "broker/quotas.py": ("broker.fleet", "broker.rates"),
    "broker/limits.py": ("broker.quotas", "broker.rates", "broker.fleet", "broker.errors"),
    "broker/tracing.py": (),
    "broker/metrics.py": ("broker.policy.catalog", "broker.errors"),
    "broker/audit/": (
        "broker.audit",
        "broker.batching",
        "broker.vending",
        "broker.confirming",
        "broker.metrics",
        "broker.logs",
        "broker.policy.asks",
        "broker.cos.requests",
        "broker.credentials.credential",
        "broker.errors",
        "broker.identity.principals",
    ),
    "broker/reloading.py": ("broker.policy.catalog",),
    "broker/credentials/": (
        "broker.credentials",
        "broker.cos",
        "broker.deadlines",
        "broker.errors",
        "broker.fleet",
        "broker.limits",
    ),
    "broker/confirming.py": ("broker.policy", "broker.credentials", "broker.cos", "broker.errors"),
    "broker/vending.py": (
        "broker.confirming",
        "broker.limits",
        "broker.policy",
        "broker.credentials",
        "broker.cos",
        "broker.errors",
        "broker.identity.principals",
    ),
    "broker/batching.py": (
        "broker.vending",
        "broker.policy",
        "broker.credentials",
        "broker.errors",
        "broker.identity.principals",
    ),
    "broker/web/": (
        "broker.web",
        "broker.audit",
        "broker.vending",
        "broker.batching",
        "broker.confirming",
        "broker.identity",
        "broker.policy",
        "broker.cos.requests",
        "broker.errors",
        "broker.strict_json",
    ),
    "broker/console/": (
        "broker.console",
        "broker.web",
        "broker.vending",
        "broker.identity",
        "broker.policy",
        "broker.explaining",
        "broker.inventory",
        "broker.credentials",
        "broker.fleet.connection",
        "broker.cos",
        "broker.errors",
        "broker.strict_json",
    ),
    "broker/probing/": (
        "broker.probing",
        "broker.confirming",
        "broker.vending",
        "broker.policy",
        "broker.credentials",
        "broker.cos",
        "broker.errors",
        "broker.identity.principals",
        "broker.parts",
        "broker.settings",
    ),
    # What is tried is data: only `work` and what uses it send anything.
    "broker/probing/asking.py": ("broker.policy", "broker.cos.requests", "broker.errors"),
    "broker/probing/doors.py": ("broker.probing.asking", "broker.policy", "broker.cos.signing"),
    "broker/probing/foreign.py": (
        "broker.probing.doors",
        "broker.policy",
        "broker.cos.requests",
        "broker.cos.forms",
        "broker.cos.signing",
    ),
    "broker/probing/uploading.py": (
        "broker.probing.doors",
        "broker.probing.foreign",
        "broker.policy",
        "broker.cos.cam",
        "broker.cos.signing",
    ),
    "broker/probing/attempts.py": (
        "broker.probing.doors",
        "broker.probing.foreign",
        "broker.probing.uploading",
        "broker.policy",
    ),
    "broker/probing/posting.py": ("broker.policy.uuids",),
    "broker/probing/verdicts.py": ("broker.cos.client", "broker.cos.signing"),
    "broker/emulator/": ("broker.emulator", "broker.cos", "broker.errors"),
    "broker/settings.py": (
        "broker.errors",
        "broker.cos.cors",
        "broker.cos.requests",
        "broker.credentials.sealing",
        "broker.fleet.topology",
        "broker.identity.public_keys",
    ),
}

# Library: the only rooms that may import it.
OWNERS = {
    "flask": (
        "broker/web/application.py",
        "broker/web/views.py",
        "broker/web/vend.py",
        "broker/web/problems.py",
        "broker/console/views.py",
        "broker/app.py",
        "broker/serving.py",
        "broker/tracing.py",
    ),
    "opentelemetry": ("broker/tracing.py",),
    "werkzeug": ("broker/web/", "broker/app.py", "broker/emulator/"),
    "redis": ("broker/fleet/connection.py",),
    "limits": ("broker/quotas.py",),
    "prometheus_client": ("broker/metrics.py",),
    "tencentcloud": ("broker/credentials/sts.py",),
    "requests": ("broker/credentials/sts.py", "broker/client/sending.py"),
    "urllib3": ("broker/credentials/sts.py", "broker/client/sending.py"),
    "cryptography": ("broker/credentials/sealing.py", "broker/identity/public_keys.py", "broker/local.py"),
    "jwt": ("broker/identity/", "broker/local.py"),
    "cachetools": (
        "broker/credentials/cache.py",
        "broker/credentials/minting.py",
        "broker/identity/jwt.py",
        "broker/quotas.py",
    ),
    "granian": ("broker/serving.py",),
    "click": ("broker/cli/",),
    "jinja2": ("broker/web/docs_page.py", "broker/console/pages.py"),
    "markupsafe": ("broker/web/docs_page.py",),
    "pydantic": ("broker/policy/", "broker/identity/key_file.py"),
    "typing_extensions": ("broker/policy/asks.py",),
    "pydantic_core": ("broker/policy/", "broker/patterns.py", "broker/identity/key_file.py"),
    "orjson": ("broker/web/messages.py",),
    "broker.emulator": ("broker/emulator/", "broker/cli/", "broker/local.py", "broker/demo.py"),
    "broker.local": ("broker/demo.py",),
    "broker.console": ("broker/console/", "broker/app.py"),
    "broker.cos.client": ("broker/cos/client.py", "broker/probing/", "broker/confirming.py", "broker/vending.py"),
    "broker.probing": ("broker/probing/", "broker/cli/"),
    "broker.logs": ("broker/app.py", "broker/audit/", "broker/serving.py", "broker/cli/"),
}

# What is read from the process: the only rooms that may.
READERS = {
    "os.environ": ("broker/settings.py", "broker/cli/", "broker/local.py", "broker/serving.py"),
    "os.getenv": (),
    "time.time": ("broker/app.py", "broker/emulator/", "broker/demo.py"),
    "datetime.now": (),
    "datetime.utcnow": (),
}

# Pure rooms: nothing of the standard library that reads a clock, a file or a socket.
IMPURE = {
    "socket",
    "http",
    "urllib.request",
    "subprocess",
    "logging",
    "threading",
    "time",
    "random",
    "secrets",
    "pathlib",
}


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it; `from a import b` counts as `a.b` where that is a module."""
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            for name in node.names:
                inner = REPOSITORY.joinpath(*module.split("."), name.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{module}.{name.name}" if is_module else module


def below(module: str, roots: tuple[str, ...]) -> bool:
    """Whether a module is one of `roots` or inside of one."""
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def lives_in(path: Path, rooms: tuple[str, ...]) -> bool:
    """Whether a file is one of the rooms or in one."""
    return any(str(path) == room or (room.endswith("/") and str(path).startswith(room)) for room in rooms)


@pytest.mark.parametrize("room", TABLE)
def test_room(room):
    """A room imports of ours only what stands in its line of the table."""
    files = [path for path in MODULES if lives_in(path, (room,))]
    assert files
    strangers = {
        f"{path}: {module}"
        for path in files
        for module in imported(path)
        if below(module, ("broker",)) and not below(module, TABLE[room])
    }
    assert strangers == set()


@pytest.mark.parametrize("library", OWNERS)
def test_library(library):
    """A library is imported by its owners alone."""
    users = {str(path) for path in MODULES if any(below(module, (library,)) for module in imported(path))}
    assert {user for user in users if not lives_in(Path(user), OWNERS[library])} == set()


@pytest.mark.parametrize("name", READERS)
def test_reader(name):
    """Clock and environment are read where they are owned; elsewhere both are arguments."""
    module, attribute = name.split(".")
    readers = set()
    for path in MODULES:
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            reads = (
                isinstance(node, ast.Attribute)
                and node.attr == attribute
                and ast.unparse(node.value).split(".")[-1] == module
            )
            takes = isinstance(node, ast.ImportFrom) and node.module == module
            if reads or (takes and attribute in [alias.name for alias in node.names]):
                readers.add(str(path))
    assert {reader for reader in readers if not lives_in(Path(reader), READERS[name])} == set()


def test_pure_room():
    """What COS's formats say is computed from arguments alone, with the standard library; `client` alone sends."""
    pure = [path for path in MODULES if lives_in(path, ("broker/cos/",)) and str(path) != "broker/cos/client.py"]
    modules = {(str(path), module) for path in pure for module in imported(path)}
    outside = {module for _, module in modules if not below(module, ("broker.cos",))}
    assert {module for module in outside if module.partition(".")[0] not in sys.stdlib_module_names} == set()
    assert {module for module in outside if below(module, tuple(IMPURE))} == set()


def test_policies_read_no_files():
    """Of the policy room only the catalog reads files."""
    readers = {
        str(path) for path in MODULES if lives_in(path, ("broker/policy/",)) and below("pathlib", tuple(imported(path)))
    }
    assert readers == {"broker/policy/catalog.py"}


def test_what_an_import_loads():
    """Importing the broker loads nothing heavy, and serving never loads the emulator, nor the console."""
    script = (
        "import sys, broker\n"
        "heavy = {'flask', 'redis', 'tencentcloud', 'broker.emulator'} & set(sys.modules)\n"
        "import broker.app, broker.serving\n"
        "extra = {'opentelemetry.instrumentation.flask', 'broker.tracing'} & set(sys.modules)\n"
        "more = {'broker.emulator', 'broker.local', 'broker.console'} & set(sys.modules)\n"
        "print(sorted(heavy | extra), more)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout == "[] set()\n"
