"""`python -m broker VERB`: what each verb prints, and how it ends."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from broker.app import Broker
from broker.cli import main
from broker.errors import Unauthenticated
from broker.identity.api_keys import ApiKeys
from broker.identity.principals import Principal
from broker.local import send
from broker.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
BUCKET = "examplebucket-1250000000"
VIDEO_TYPE = ["--header", "Content-Type=video/mp4"]
VIDEO = "videos/u1/0b6c5f0e-6a51-4c3c-9b43-5c5f1f0b6e11.mp4"
U1 = ["--as", "sub=u1", "--as", "scope=avatars:write folder:keys"]
PNG = ["avatars", *U1, "--input", "ext=png"]
UPLOAD = [*PNG, "--header", "Content-Type=image/png", "--header", "Content-Length=9"]


@pytest.fixture
def run(process_environ: Callable[..., dict[str, str]], emulator: object) -> Callable[..., Result]:
    """Runs a verb in this process, with the cloud of the tests behind it."""

    def invoke(*arguments: str, **changes: str | None) -> Result:
        result = CliRunner().invoke(main, arguments, env={**process_environ(**changes), **changes})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def told(result: Result) -> tuple[int, list[str]]:
    """(exit code, lines of stderr) of a verb that failed and printed nothing else."""
    assert result.stdout == ""
    return result.exit_code, result.stderr.splitlines()


class TestUsage:
    """Help and bad usage."""

    @pytest.mark.parametrize(
        "verb",
        [
            "",
            "serve",
            "dev",
            "demo",
            "emulate",
            "check",
            "explain",
            "schema",
            "vend",
            "probe",
            "cors",
            "cam",
            "keygen",
            "keygen cache",
            "keygen api-key",
            "credentials",
            "credentials list",
            "credentials forget",
        ],
    )
    @pytest.mark.parametrize("option", ["--help", "-h"])
    def test_help(self, run, verb, option):
        """Every verb explains itself."""
        result = run(*verb.split(), option)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"Usage: main {verb}".rstrip())
        assert len(result.stdout.splitlines()) > 4

    def test_verbs(self, run):
        """The list of verbs is this version's."""
        listed = run("--help").stdout.partition("Commands:")[2]
        assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == sorted(
            "serve dev demo emulate check explain vend probe cam cors schema keygen credentials".split()
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ["nope"], ["explain"], ["probe"], ["cors"], ["schema", "x"], ["credentials", "forget"],
            ["cam", "x"], ["cam", "--role", "r"], ["serve", "--drain-delay", "-1"],
            ["serve", "--nope"], ["cors", "avatars", "--format", "text"],
            ["serve", "--port", "x"], ["serve", "--port", "70000"], ["serve", "--port", "0"],
            ["serve", "--workers", "0"],
            ["dev", "--port", "0"], ["dev", "--emulator-port", "x"],
            ["serve", "--threads", "0"], ["emulate", "--port", "-1"], ["check", "a", "b"], ["check", "--format", "xml"],
            ["check", "--diff"], ["vend"], ["vend", "avatars", "--as", "u1"],
            ["explain", "avatars", "--try"], ["explain", "avatars", "--key", "a", "--input", "ext=png"],
            ["probe", "avatars", *U1, "--vend", "url"],
            ["probe", "avatars", *U1, "--input", "ext"],
            ["vend", "avatars", *U1, "--input", "ext"], ["vend", "avatars", *U1, "--expires-in", "soon"],
            ["keygen", "nope"], ["keygen", "api-key"], ["keygen", "api-key", "bff", "--operation"],
        ],
    )  # fmt: skip
    def test_bad_usage(self, run, arguments):
        """Bad usage ends with 2 and says what is wrong; so do verbs and options of later versions."""
        code, lines = told(run(*arguments))
        assert code == 2
        assert lines[-1].startswith("Error: ")


MISTAKES = {
    "methods": ({"methods": ["PATCH"]}, "methods[0]", ["PUT", "'PATCH'"]),
    "vends": ({"vends": ["url", "upload"]}, "vends[1]", ["'multipart'", "'upload'"]),
    "bucket": ({"bucket": "*"}, "bucket", ["'*'"]),
    "region": ({"region": "Guangzhou"}, "region", ["'Guangzhou'"]),
    "key": ({"key": "avatars/{uuid"}, "key", ["braces"]),
    "inputs": ({"inputs": {"ext": {"enum": []}}}, "inputs.ext.enum", []),
    "headers": ({"headers": {"Authorization": {"const": "x"}}}, "headers.Authorization", ["reserved"]),
    "expires": ({"expires": {"default_seconds": 901, "max_seconds": 900}}, "expires", ["901", "900"]),
    "unknown": ({"colour": "blue"}, "colour", ["legal here"]),
    "rate": ({"rate": "0/minute"}, "rate", ["60/minute", "'0/minute'"]),
}


class TestCheck:
    """`check`."""

    @pytest.fixture
    def wrong(self, tmp_path) -> Path:
        """A folder of ten files, each with a mistake of its own, beside a good one."""
        good = json.loads((REPOSITORY / "policies" / "avatars.json").read_text())
        (tmp_path / "good.json").write_text(json.dumps(good))
        for name, (change, _, _) in MISTAKES.items():
            (tmp_path / f"{name}.json").write_text(json.dumps({**good, **change}))
        return tmp_path

    def test_good_folder(self, run):
        """A folder that loads ends with 0 and its number of routes; warnings never do harm."""
        result = run("check", str(REPOSITORY / "policies"))
        assert (result.exit_code, result.stderr) == (0, "")
        assert re.search(r"^8 routes, [0-9]{2} tests, [0-9]+ warnings?$", result.stdout, re.MULTILINE)

    def test_configured_folder(self, run):
        """Without a folder it is the configured one, and no key and no authentication is needed."""
        unset = dict.fromkeys(
            ["TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "BROKER_API_KEYS", "BROKER_JWT_JWKS",
             "BROKER_JWT_ISSUER", "BROKER_JWT_AUDIENCE", "BROKER_JWT_ALGORITHMS"]
        )  # fmt: skip
        assert run("check", **unset).exit_code == 0

    def test_ten_mistakes(self, run, wrong):
        """Every mistake is told at once, with file, field, value and what would be legal."""
        result = run("check", str(wrong))
        assert result.exit_code == 1
        for name, (_, field, texts) in MISTAKES.items():
            lines = [
                line for line in result.stderr.splitlines() if line.startswith(f"error: {wrong}/{name}.json:1: {field}")
            ]
            assert len(lines) == 1, (name, result.stderr)
            assert [text for text in texts if text not in lines[0]] == []
        assert "good.json" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith(f"{len(MISTAKES)} errors")

    def test_json(self, run, wrong):
        """The same for programs."""
        good, bad = (
            run("check", str(REPOSITORY / "policies"), "--format", "json"),
            run("check", str(wrong), "--format", "json"),
        )
        assert (good.exit_code, json.loads(good.stdout)["ok"], json.loads(good.stdout)["routes"]) == (0, True, 8)
        assert {problem["level"] for problem in json.loads(good.stdout)["problems"]} == {"warning"}
        assert (bad.exit_code, json.loads(bad.stdout)["ok"]) == (1, False)
        errors = [problem for problem in json.loads(bad.stdout)["problems"] if problem["level"] == "error"]
        assert sorted(Path(problem["file"]).stem for problem in errors) == sorted(MISTAKES)
        assert all(sorted(problem) == ["field", "file", "level", "line", "message"] for problem in errors)

    def test_line(self, run, tmp_path):
        """A mistake is told with its line, of malformed text and of a field, for people and for programs."""
        sample = (REPOSITORY / "policies" / "avatars.json").read_text()
        (tmp_path / "a.json").write_text(sample.replace('"max_bytes": 5242880', '"max_bytes": "5 MB"'))
        (tmp_path / "b.json").write_text(sample.replace('"methods": ["PUT"],', '"methods": ["PUT"]'))
        line = sample[: sample.index('"max_bytes"')].count("\n") + 1
        result = run("check", str(tmp_path))
        assert f"error: {tmp_path}/a.json:{line}: content.max_bytes: must be an integer, got '5 MB'\n" in result.stderr
        assert f"error: {tmp_path}/b.json:7: is not valid JSON" in result.stderr
        problems = json.loads(run("check", str(tmp_path), "--format", "json").stdout)["problems"]
        assert [(problem["line"], problem["field"]) for problem in problems] == [(line, "content.max_bytes"), (7, "")]

    def test_own_tests(self, run, tmp_path):
        """The policies' own tests are run: one that does not hold is an error that says what came instead."""
        sample = json.loads((REPOSITORY / "policies" / "avatars.json").read_text())
        sample["tests"][1]["expect"] = "granted"
        (tmp_path / "avatars.json").write_text(json.dumps(sample))
        result = run("check", str(tmp_path))
        assert (result.exit_code, result.stderr.count("error: ")) == (1, 1)
        assert (
            "avatars.json:1: tests[1]: expected granted, got key_not_allowed: key must be of the form" in result.stderr
        )

    def test_variables(self, run, tmp_path):
        """Variables come from the environment; one that is missing is told."""
        sample = (REPOSITORY / "policies" / "downloads.json").read_text()
        (tmp_path / "a.json").write_text(sample.replace("examplebucket-1250000000", "${POLICY_BUCKET}"))
        assert run("check", str(tmp_path), POLICY_BUCKET="examplebucket-1250000000").exit_code == 0
        code, lines = told(run("check", str(tmp_path)))
        assert (code, "bucket: ${POLICY_BUCKET} is not set" in lines[0]) == (1, True)

    def test_diff(self, run, tmp_path):
        """What a change widens and narrows is told in words, and is no error."""
        old = REPOSITORY / "policies"
        for file in old.glob("*.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        sample = (old / "avatars.json").read_text()
        (tmp_path / "avatars.json").write_text(sample.replace('"max_seconds": 900', '"max_seconds": 600'))
        (tmp_path / "reports.json").unlink()
        result = run("check", str(tmp_path), "--diff", str(old))
        assert (result.exit_code, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert "avatars: narrows: expires.max_seconds: 900 -> 600: links may live less long" in lines
        assert any(line.startswith("reports: narrows: route removed: ") for line in lines)
        assert re.fullmatch("7 routes, [0-9]+ tests, 1 warning, 2 differences", lines[-1])
        told = json.loads(run("check", str(old), "--diff", str(tmp_path), "--format", "json").stdout)
        assert [(one["route"], one["effect"]) for one in told["differences"]] == [
            ("avatars", "widens"),
            ("reports", "widens"),
        ]

    def test_diff_of_the_same(self, run):
        """Of a folder and itself there is nothing to tell."""
        folder = str(REPOSITORY / "policies")
        assert run("check", folder, "--diff", folder).stdout.splitlines()[-1].endswith(", 0 differences")
        assert json.loads(run("check", folder, "--diff", folder, "--format", "json").stdout)["differences"] == []

    def test_diff_with_an_unsound_folder(self, run, wrong, tmp_path):
        """Either folder must be sound to be compared."""
        good = str(REPOSITORY / "policies")
        for arguments in ([good, "--diff", str(wrong)], [str(wrong), "--diff", good], [good, "--diff", "/nowhere"]):
            result = run("check", *arguments)
            assert result.exit_code == 1
            assert result.stderr.startswith("error: ")

    def test_json_of_wrong_settings(self, run):
        """A program gets JSON whatever is wrong."""
        result = run("check", "--format", "json", BROKER_COLOUR="blue")
        assert result.exit_code == 1
        assert [problem["field"] for problem in json.loads(result.stdout)["problems"]] == ["BROKER_COLOUR"]

    @pytest.mark.parametrize("folder", ["absent", "empty", "file.json"])
    def test_no_folder(self, run, tmp_path, folder):
        """A folder without policies is an error, not a success with nothing in it."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "file.json").write_text("{}")
        code, lines = told(run("check", str(tmp_path / folder)))
        assert (code, len(lines)) == (1, 2)
        assert folder in lines[0]


class TestSchema:
    """`schema`."""

    def test_file(self, run):
        """It prints the file that the samples name."""
        assert run("schema").stdout == (REPOSITORY / "policies" / "policy.schema.json").read_text()


class TestExplain:
    """`explain`; what it says is tested where it is made."""

    def test_explained(self, run):
        """Key, lifetimes, document and fingerprint; the fleet's own fingerprint, and no call of STS."""
        result = run("explain", *PNG)
        assert (result.exit_code, result.stderr) == (0, "")
        assert re.search(r"^key +avatars/\{principal.sub\}/\{uuid\}.\{ext\} -> avatars/u1/[0-9a-f-]{36}.png$",
                         result.stdout, re.MULTILINE)  # fmt: skip
        assert '"qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/avatars/u1/*"' in result.stdout
        assert re.search(r"^fingerprint [0-9a-f]{64}$", result.stdout, re.MULTILINE)

    def test_without_a_key_for_sts(self, run):
        """No key is needed; what depends on one is said to."""
        unset = {"TENCENTCLOUD_SECRET_ID": None, "TENCENTCLOUD_SECRET_KEY": None}
        result = run("explain", *PNG, **unset)
        assert (result.exit_code, "fingerprint needs TENCENTCLOUD_SECRET_ID" in result.stdout) == (0, True)

    def test_nothing_is_ignored(self, run):
        """Headers are those of a request to try; without one they are refused."""
        code, lines = told(run("explain", *UPLOAD))
        assert (code, lines[-1]) == (2, "Error: --header and --param are those of a request: give it by --try")

    def test_try(self, run):
        """Each request is told of by both locks."""
        result = run("explain", *UPLOAD, "--try", "PUT avatars/u2/x.png", "--try", "GET avatars/u1/x.png?acl")
        assert result.stdout.count("\ntry ") == 2
        assert "broker      refuses, key_not_allowed" in result.stdout
        assert "put         denies cos:GetObjectACL: no statement allows it" in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["nope", *U1], "route_not_found"),
            (["avatars"], "unauthenticated"),
            (["avatars", "--as", "sub=u1"], "principal_not_allowed"),
            (["avatars", "--as", "sub=u*", *U1[2:]], "principal_not_allowed"),
            (["avatars", *U1, "--key", "avatars/u2/x.png"], "key_not_allowed"),
            (["avatars", *U1, "--input", "ext=exe"], "input_not_allowed"),
            (["avatars", *U1, "--try", "PUT"], "--try"),
        ],
    )
    def test_refused(self, run, arguments, code):
        """What the route refuses is refused as a caller would be."""
        status, lines = told(run("explain", *arguments))
        assert (status, lines[0].split(": ")[1]) == (1, code)

    def test_anonymous(self, run):
        """Without claims it explains what everybody gets."""
        assert run("explain", "downloads", "--input", "file=a.zip").exit_code == 0


class TestVend:
    """`vend`."""

    def test_anonymous(self, run):
        """Without claims it asks as a caller without credentials."""
        assert run("vend", "downloads", "--input", "file=a.zip").exit_code == 0
        status, lines = told(run("vend", "avatars"))
        assert (status, lines[0].split(": ")[1]) == (1, "unauthenticated")

    def test_grant(self, run):
        """A grant is printed as the API would answer it, and works."""
        result = run("vend", *UPLOAD)
        assert (result.exit_code, result.stderr) == (0, "")
        grant = json.loads(result.stdout)
        assert grant["key"].startswith("avatars/u1/")
        assert send("PUT", grant["url"], grant["headers"], b"x" * 9)[0] == 200

    def test_without_authentication(self, run):
        """Nobody is authenticated, so nothing needs to be configured for it."""
        names = (
            "BROKER_API_KEYS",
            "BROKER_JWT_JWKS",
            "BROKER_JWT_ISSUER",
            "BROKER_JWT_AUDIENCE",
            "BROKER_JWT_ALGORITHMS",
        )
        assert run("vend", *UPLOAD, **dict.fromkeys(names)).exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "members"),
        [
            (["user-folder", *U1], {"key_prefix": "files/u1/"}),
            (
                ["avatars", *UPLOAD[1:], "--vend", "signature", "--expires-in", "60"],
                {"expires_in": 60, "method": "PUT"},
            ),
            (["private-files", *U1, "--vend", "url", "--method", "HEAD", "--key", "files/u1/ü"], {"key": "files/u1/ü"}),
            (
                ["anything", *U1, "--method", "GET", "--input", "path=a/b=c", "--param", "mode=fast"],
                {"key": "any/u1/a/b=c"},
            ),
            (
                ["reports", "--as", "role=owner", "--as", "tenant=t", "--input", "month=2026-10", "--filename", "ü"],
                {"key": "reports/t/2026-10.pdf"},
            ),
            (
                ["videos", *U1, *VIDEO_TYPE, "--input", "ext=mp4", "--step", "initiate", "--size", "9"],
                {"step": "initiate", "part_bytes": 8388608},
            ),
            (
                ["videos", *U1, "--key", VIDEO, "--step", "parts", "--upload-id", "x", "--size", "9", "--parts", "1-1"],
                {"step": "parts", "key": VIDEO},
            ),
        ],
    )  # fmt: skip
    def test_every_option(self, run, arguments, members):
        """Every part of an ask has its option."""
        result = run("vend", *arguments)
        assert result.exit_code == 0, result.stderr
        grant = json.loads(result.stdout)
        assert {name: grant[name] for name in members} == members

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["nope", *U1], "route_not_found"),
            (["avatars", "--as", "sub=u1"], "principal_not_allowed"),
            (["avatars", *U1, "--input", "ext=gif"], "input_not_allowed"),
            ([*UPLOAD, "--expires-in", "901"], "expires_too_long"),
            ([*UPLOAD, "--expires-in", "0"], "invalid_request"),
            ([*UPLOAD, "--expires-in", "-1"], "invalid_request"),
            ([*UPLOAD, "--method", ""], "invalid_request"),
            ([*UPLOAD, "--method", "GET"], "method_not_allowed_by_policy"),
            ([*UPLOAD, "--param", "x=1"], "param_not_allowed"),
            ([*UPLOAD, "--key", "avatars/u1/x.png"], "invalid_request"),
            (["private-files", *U1, "--vend", "download-url", "--key", ""], "key_not_allowed"),
            (["private-files", *U1, "--vend", "download-url", "--key", "files/u2/x"], "key_not_allowed"),
            (
                ["reports", "--as", "role=owner", "--as", "tenant=t", "--input", "month=2026-10", "--filename", ""],
                "invalid_request",
            ),
            (["user-folder", *U1, "--key", "x"], "invalid_request"),
            ([*UPLOAD, "--vend", "download-url"], "vend_not_allowed"),
            (["videos", *U1, "--input", "ext=mp4"], "invalid_request"),
        ],
    )  # fmt: skip
    def test_refused(self, run, emulator, arguments, code):
        """A refusal is one clear line (and one for each field), exit code 1, and no call of STS."""
        status, lines = told(run("vend", *arguments))
        assert status == 1
        assert lines[0].startswith(f"error: {code}: ")
        assert all(line.startswith("  ") for line in lines[1:])
        assert emulator.stats()["sts"] == {}

    @pytest.mark.parametrize("vend", ["nope", ""])
    def test_no_such_vend(self, run, vend):
        """A vend that is none is named with the legal ones."""
        code, lines = told(run("vend", *UPLOAD, "--vend", vend))
        assert code in (1, 2)
        assert "download-url" in lines[-1] + lines[0]

    def test_sts_down(self, run):
        """The cloud's fault is one line, too."""
        code, lines = told(run("vend", *UPLOAD, BROKER_STS_ENDPOINT="http://127.0.0.1:1"))
        assert (code, len(lines)) == (1, 1)
        assert lines[0].startswith("error: sts_unavailable: ")

    def test_wrong_settings(self, run):
        """Wrong settings are a line each."""
        code, lines = told(run("vend", *UPLOAD, BROKER_LOG_FORMAT="x", BROKER_COLOUR="blue"))
        assert (code, len(lines)) == (1, 2)
        assert all(line.startswith("error: environment: BROKER_") for line in lines)


class TestKeygen:
    """`keygen`."""

    def test_cache(self, run):
        """A key for BROKER_CACHE_KEYS, another each time."""
        keys = [run("keygen", "cache").stdout.strip() for _ in range(2)]
        assert [len(base64.b64decode(key, validate=True)) for key in keys] == [32, 32]
        assert keys[0] != keys[1]
        environ = {"BROKER_ANONYMOUS": "1", "BROKER_REDIS_URL": "redis://h", "BROKER_CACHE_KEYS": ",".join(keys)}
        assert len(Settings.from_environ(environ).cache_keys) == 2

    def test_api_key(self, run, tmp_path):
        """The entry on stdout admits the pair on stderr, which stands nowhere else."""
        result = run("keygen", "api-key", "bff", "--acts-for", "u[0-9]+", "--claims", "scope, tenant")
        entry, pair = json.loads(result.stdout), result.stderr.strip()
        assert result.exit_code == 0
        assert re.fullmatch(r"bff\.[A-Za-z0-9_-]{43}", pair)
        assert pair.partition(".")[2] not in result.stdout
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": [entry]}))
        keys = ApiKeys(file, time.monotonic)
        claims = base64.urlsafe_b64encode(b'{"scope": "a"}').decode()
        acted_for = keys.verify(pair, "u1", claims, 0)
        assert (acted_for.sub, acted_for.claims["scope"], acted_for.key_id) == ("u1", "a", "bff")
        with pytest.raises(Unauthenticated):
            keys.verify(f"{pair}x", "u1", None, 0)

    def test_api_key_of_one_subject(self, run, tmp_path):
        """A key may speak for one subject."""
        result = run("keygen", "api-key", "job", "--sub", "nightly")
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": [json.loads(result.stdout)]}))
        principal = ApiKeys(file, time.monotonic).verify(result.stderr.strip(), None, None, 0)
        assert principal.sub == "nightly"

    @pytest.mark.parametrize(
        "arguments",
        [["a b"], [""], ["x" * 65], ["bff", "--acts-for", "["], ["bff", "--claims", "a"], ["bff", "--sub", ""]],
    )
    def test_illegal(self, run, arguments):
        """What would make no good entry is refused in one line, and no secret is made."""
        code, lines = told(run("keygen", "api-key", *arguments))
        assert (code, len(lines)) == (1, 1)
        assert lines[0].startswith("error: ")


class TestEmulate:
    """`emulate`."""

    @pytest.fixture
    def start(self, process_environ):
        """Starts a stand-alone emulator; ended with the test."""
        started: list[subprocess.Popen[str]] = []

        def begin(*arguments: str, **changes: str | None) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "broker", "emulate", *arguments]
            environ = {**process_environ(**changes), "PYTHONUNBUFFERED": "1"}
            process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, text=True)
            started.append(process)
            return process

        yield begin
        for process in started:
            process.kill()
            process.communicate()

    def test_own_account(self, start, environ, tmp_path):
        """Without an account it makes one; a broker with the printed lines is served, and objects stay."""
        process = start(
            "--port", "0", "--data", str(tmp_path), TENCENTCLOUD_SECRET_ID=None, TENCENTCLOUD_SECRET_KEY=None
        )
        title, *exports = [process.stdout.readline() for _ in range(5)]
        assert title.startswith("# ")
        exported = dict(re.fullmatch(r"export (\w+)='?([^']+?)'?\n", line).groups() for line in exports)
        settings = Settings.from_environ({**environ, **exported})
        headers = {"Content-Type": "image/png", "Content-Length": "1"}
        principal = Principal({"sub": "u1", "scope": "avatars:write"})
        ask = {"vend": "url", "inputs": {"ext": "png"}, "headers": headers}
        grant = Broker(settings=settings).vend("avatars", ask, principal)
        host = urlsplit(grant.url).netloc
        # Not every resolver knows the names below localhost.
        url = grant.url.replace(host, f"127.0.0.1:{urlsplit(grant.url).port}", 1)
        assert send("PUT", url, {**grant.headers, "Host": host}, b"x")[0] == 200
        assert [path for path in tmp_path.rglob("*") if path.is_file()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, 143)

    def test_given_account(self, start):
        """A given account is used and not printed."""
        process = start("--port", "0")
        told = [process.stdout.readline() for _ in range(3)]
        assert "http://127.0.0.1:" in told[0]
        assert [line.partition("=")[0] for line in told[1:]] == [
            "export BROKER_STS_ENDPOINT",
            "export BROKER_COS_ENDPOINT",
        ]

    def test_half_an_account(self, run):
        """Half a key pair is bad usage."""
        code, lines = told(run("emulate", "--port", "0", TENCENTCLOUD_SECRET_KEY=None))
        assert code == 2
        assert "TENCENTCLOUD_SECRET_KEY" in lines[-1]

    def test_port_taken(self, run, cloud):
        """A port that is taken is one line."""
        code, lines = told(run("emulate", "--port", str(cloud.port)))
        assert (code, len(lines)) == (1, 1)
        assert str(cloud.port) in lines[0]

    def test_no_folder_for_data(self, process_environ):
        """A folder that cannot be made is said at the start, not with the first object."""
        command = [sys.executable, "-m", "broker", "emulate", "--port", "0", "--data", "/dev/null/objects"]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**process_environ(), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            first = process.stdout.readline()
            assert first == ""
            assert process.wait(10) == 1
            assert "/dev/null/objects" in process.stderr.read()
        finally:
            process.kill()
            process.communicate()


def test_unsupported_file_of_keys(run, tmp_path):
    """A keys file that cannot be read is one line, whoever asks for it."""
    code, lines = told(run("vend", *UPLOAD, BROKER_API_KEYS=str(tmp_path / "absent.json")))
    assert (code, len(lines)) == (1, 1)
    assert "absent.json" in lines[0]


class TestCors:
    """`cors ROUTE`."""

    APP = ("--origin", "https://app.example")

    def test_json(self, run):
        """The configuration as the official SDK takes it, whole."""
        result = run("cors", "avatars", *self.APP, "--origin", "http://localhost:3000")
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout) == {
            "CORSRule": [
                {
                    "ID": "avatars",
                    "AllowedOrigin": ["https://app.example", "http://localhost:3000"],
                    "AllowedMethod": ["PUT"],
                    "AllowedHeader": [
                        "Content-Type", "Cache-Control", "x-cos-forbid-overwrite", "Authorization",
                        "x-cos-security-token",
                    ],
                    "ExposeHeader": ["ETag", "Content-Length", "x-cos-request-id"],
                    "MaxAgeSeconds": 600,
                }
            ],
            "ResponseVary": True,
        }  # fmt: skip

    def test_xml(self, run):
        """The body of PUT Bucket cors; lists without members are left out."""
        result = run("cors", "downloads", *self.APP, "--format", "xml")
        assert result.stdout.splitlines()[:6] == [
            "<CORSConfiguration>",
            "  <CORSRule>",
            "    <ID>downloads</ID>",
            "    <AllowedOrigin>https://app.example</AllowedOrigin>",
            "    <AllowedMethod>GET</AllowedMethod>",
            "    <ExposeHeader>ETag</ExposeHeader>",
        ]

    def test_origins_of_the_setting(self, run):
        """Without --origin, the origins that may use the broker."""
        told = json.loads(run("cors", "downloads", BROKER_CORS_ORIGINS="https://a, https://b").stdout)
        assert told["CORSRule"][0]["AllowedOrigin"] == ["https://a", "https://b"]
        told = json.loads(run("cors", "downloads", *self.APP, BROKER_CORS_ORIGINS="https://a").stdout)
        assert told["CORSRule"][0]["AllowedOrigin"] == ["https://app.example"]

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ([], "is missing: give each origin of the pages, as in https://app.example, or set BROKER_CORS_ORIGINS"),
            (
                ["--origin", "https://app.example/"],
                "must be https://host or https://host:port in lower case, without path or slash at its end, got "
                "'https://app.example/'",
            ),
            (
                ["--origin", "*"],
                "must name each origin: '*' is everybody, and 'null' is what any sandboxed page sends, got '*'",
            ),
        ],
    )
    def test_refused(self, run, arguments, line):
        """No origins, and what is none: one clear line."""
        assert told(run("cors", "downloads", *arguments)) == (1, [f"error: --origin: {line}"])

    def test_no_such_route(self, run):
        """Nor a route that is none."""
        code, lines = told(run("cors", "nope", *self.APP))
        assert code == 1
        assert lines[0].startswith("error: route_not_found: no policy 'nope' in ")

    def test_nothing_to_send(self, run, tmp_path):
        """A route for which browsers send COS nothing needs no rule."""
        policy = {"vends": ["confirm"], "bucket": BUCKET, "region": "ap-guangzhou", "key": "a"}
        (tmp_path / "ask.json").write_text(json.dumps(policy))
        code, lines = told(run("cors", "ask", *self.APP, BROKER_POLICIES=str(tmp_path)))
        assert (code, lines) == (1, ["error: ask: vends: browsers send nothing to the bucket for confirm"])


class TestCam:
    """`cam`."""

    def test_policy(self, run):
        """The policy of the key as JSON alone, to be pasted; it needs no key."""
        unset = dict.fromkeys(("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"))
        result = run("cam", **unset)
        policy = json.loads(result.stdout)
        assert (result.exit_code, result.stderr, policy["version"]) == (0, "", "2.0")
        assert policy["statement"][0] == {"effect": "allow", "action": ["sts:GetFederationToken"], "resource": ["*"]}
        assert f"{BUCKET}/avatars/*" in result.stdout

    def test_unsound_policies(self, run, tmp_path):
        """For policies that would not be served there is none."""
        (tmp_path / "one.json").write_text("{}")
        code, lines = told(run("cam", BROKER_POLICIES=str(tmp_path)))
        assert code == 1
        assert all(line.startswith("error: ") for line in lines)
