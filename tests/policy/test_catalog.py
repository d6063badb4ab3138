"""The folder of policy files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.errors import ConfigurationError, NotFound
from broker.policy import catalog


@pytest.fixture
def folder(tmp_path: Path, policy) -> Callable[..., Path]:
    """A folder of the given files: a dict becomes JSON, text and bytes stand as they are."""

    def write(**files) -> Path:
        for name, content in files.items():
            data = content if isinstance(content, (str, bytes)) else json.dumps(content)
            (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return tmp_path

    return write


@pytest.fixture
def reported(limits) -> Callable[[Path], list[tuple[str, str, str]]]:
    """(file name, field, message) of every problem of a folder that does not load."""

    def load(path: Path) -> list[tuple[str, str, str]]:
        with pytest.raises(ConfigurationError) as caught:
            catalog.load(path, limits)
        text = str(caught.value)
        assert all(str(problem) in text for problem in caught.value.problems)
        return [(Path(problem.source).name, problem.field, problem.message) for problem in caught.value.problems]

    return load


class TestFolder:
    """Which files are routes."""

    def test_routes(self, folder, policy, limits):
        """Every `*.json` is a route under its file's name."""
        path = folder(**{"a.json": policy("read", {}), "b-2.json": policy("upload", {}), "0.json": policy("keys", {})})
        loaded = catalog.load(path, limits)
        assert list(loaded.routes) == ["0", "a", "b-2"]
        assert loaded.route("b-2").name == "b-2"

    def test_what_is_no_route(self, folder, policy, limits):
        """The schema, dot files and other suffixes are passed over, whatever they hold."""
        others = ["policy.schema.json", ".a.json", ".json", "README.md", "a.json.bak", "a.jsonc", "b.JSON", "json"]
        path = folder(**{"a.json": policy("read", {})}, **dict.fromkeys(others, "{"))
        assert list(catalog.load(path, limits).routes) == ["a"]

    @pytest.mark.parametrize(
        "name", ["A.json", "-a.json", "a_b.json", "a.b.json", "a b.json", "ä.json", "a" * 64 + ".json"]
    )
    def test_illegal_name(self, folder, policy, reported, name):
        """A file whose name is no route's name is an error, not passed over."""
        [(file, field, message)] = reported(folder(**{name: policy("read", {})}))
        assert (file, field) == (name, "")
        assert "a-z 0-9 -" in message

    def test_longest_name(self, folder, policy, limits):
        """A name has up to 63 characters."""
        assert catalog.load(folder(**{"a" * 63 + ".json": policy("read", {})}), limits).route("a" * 63)

    def test_unknown_route(self, folder, policy, limits):
        """A route that no file describes is not found; names are compared exactly."""
        loaded = catalog.load(folder(**{"a.json": policy("read", {})}), limits)
        for name in ("b", "A", "a.json", "a ", "", "../a"):
            with pytest.raises(NotFound) as caught:
                loaded.route(name)
            assert caught.value.code == "route_not_found"
        assert loaded.route("a")

    def test_empty_folder(self, folder, reported):
        """A folder without a route is a mistake, the schema alone does not count."""
        [(_, field, message)] = reported(folder(**{"policy.schema.json": "{}"}))
        assert (field, "no policy file" in message) == ("", True)

    def test_missing_folder(self, tmp_path, reported):
        """A folder that is not there is named."""
        [(name, _, message)] = reported(tmp_path / "nowhere")
        assert (name, "no readable folder" in message) == ("nowhere", True)

    def test_folder_that_is_a_file(self, folder, policy, reported):
        """A file is no folder."""
        [(name, _, message)] = reported(folder(**{"a.json": policy("read", {})}) / "a.json")
        assert (name, "no readable folder" in message) == ("a.json", True)

    def test_unreadable_file(self, folder, policy, reported):
        """A file that cannot be read is reported beside the others' mistakes."""
        path = folder(**{"a.json": policy("read", {}), "b.json": policy("read", {"region": "x"})})
        (path / "c.json").mkdir()
        (path / "d.json").symlink_to(path / "nowhere")
        found = reported(path)
        assert [(name, field) for name, field, _ in found] == [("b.json", "region"), ("c.json", ""), ("d.json", "")]
        assert ["cannot be read" in found[1][2], "not there" in found[2][2]] == [True, True]

    def test_warnings(self, folder, policy, limits):
        """What deserves a second look is told with its file, and keeps no route out."""
        loaded = catalog.load(folder(**{"a.json": policy("upload", {})}), limits)
        assert [(Path(w.source).name, w.field) for w in loaded.warnings] == [
            ("a.json", "headers.x-cos-forbid-overwrite")
        ]
        assert loaded.route("a")

    def test_variables(self, folder, policy, limits):
        """Variables are put into every file."""
        place = {"bucket": "${POLICY_BUCKET}", "region": "${POLICY_REGION:-ap-guangzhou}"}
        variables = {"POLICY_BUCKET": "other-1250000000"}
        given = type(limits)(limits.policy_bytes, limits.cos_endpoint, variables)
        loaded = catalog.load(folder(**{"a.json": policy("read", place)}), given).route("a").document
        assert (loaded.bucket, loaded.region) == ("other-1250000000", "ap-guangzhou")


class TestJson:
    """One reading of a file or none."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "{}{}",
            '{"vends": ["url"], "vends": ["signature"]}',
            '{"content": {"max_bytes": 1, "max_bytes": 2}}',
            '{"expires": {"max_seconds": NaN}}',
            '{"description": "\\ud800"}',
            b"\xff\xfe{}",
            b"\xef\xbb\xbf{}",
            "[" * 17 + "]" * 17,
            '{"a": 1} // why',
            " " * (256 * 1024 + 1),
        ],
        ids=range(12),
    )
    def test_not_json(self, folder, policy, reported, text):
        """Malformed, ambiguous or oversized text is reported without a traceback, beside other files' mistakes."""
        found = reported(folder(**{"a.json": text, "b.json": policy("read", {"region": "x"})}))
        assert [(name, field) for name, field, _ in found] == [("a.json", ""), ("b.json", "region")]
        assert ("at most 262144 bytes" if len(text) > 262144 else "not valid JSON") in found[0][2]

    @pytest.mark.parametrize(
        "content",
        ["{", "[]", "null", {"vends": ["url"], "methods": ["GET"]}, " " * 262145],
        ids=["malformed", "list", "null", "shape", "large"],
    )
    def test_illegal_name_and_content(self, folder, reported, content):
        """An illegal name and illegal content are both reported."""
        messages = [message for _, _, message in reported(folder(**{"Bad_Name.json": content}))]
        assert any("a-z 0-9 -" in message for message in messages)
        assert any("a-z 0-9 -" not in message for message in messages)


MISTAKES = {
    "vends": (["upload"], "vends[0]", "'download-url'"),
    "methods": (["PATCH"], "methods[0]", "'DELETE'"),
    "bucket": ("*-1250000000", "bucket", "name-appid"),
    "region": ("guangzhou", "region", "ap-guangzhou"),
    "key": ("a//b", "key", "empty"),
    "inputs": ({"ext": {"max_length": 999}}, "inputs.ext.max_length", "256"),
    "content": ({"types": ["png"]}, "content.types[0]", "type/subtype"),
    "expires": ({"max_seconds": 0}, "expires.max_seconds", "1"),
    "credential": ({"scope": "all"}, "credential.scope", "'object'"),
    "colour": ("red", "colour", "description"),
    "principals": ({"claims": {"a": {"is": 1}}}, "principals.claims.a.is", "const"),
    "rate": ("60/minute; 5/second", "rate", "10 per 2 hours: 1 to 1,000,000"),
}


class TestBounds:
    """How large a file may be, how deep, and where it says so."""

    def test_size(self, folder, policy, reported, limits):
        """A file of exactly 256 KiB is read; one byte more is not."""
        text = json.dumps(policy("read", {}))
        text += " " * (256 * 1024 - len(text))
        path = folder(**{"a.json": text})
        assert catalog.load(path, limits).route("a")
        (path / "a.json").write_text(f"{text} ")
        [(_, field, message)] = reported(path)
        assert (field, "at most 262144 bytes" in message) == ("", True)

    def test_depth(self, folder, policy, reported, limits):
        """Sixteen levels are read; one more is not."""

        def deep(levels):
            # The file, `tests`, an example and its `ask` are four.
            value = "".join("[" * (levels - 4)) + "]" * (levels - 4)
            return {"tests": [{"ask": {"vend": json.loads(value)}, "expect": "invalid_request", "as": {"sub": "u1"}}]}

        path = folder(**{"a.json": policy("read", deep(16))})
        assert catalog.load(path, limits).route("a")
        (path / "a.json").write_text(json.dumps(policy("read", deep(17))))
        [(_, field, message)] = reported(path)
        assert (field, "is not valid JSON" in message) == ("", True)

    def test_lines(self, folder, policy, limits):
        """Mistakes and warnings are told with their line, those of text that is no JSON, too."""
        sound = json.dumps(policy("upload", {"headers": {"Content-Language": {"const": "de"}}}), indent=1)
        [warning] = catalog.load(folder(**{"a.json": sound}), limits).warnings
        assert sound.splitlines()[warning.line - 1].strip().startswith('"headers"')
        (folder() / "a.json").write_text(sound)
        (folder() / "b.json").write_text('{\n "vends": ["url"],\n oops\n}')
        (folder() / "c.json").write_text(sound.replace("ap-guangzhou", "*"))
        with pytest.raises(ConfigurationError) as caught:
            catalog.load(folder(), limits)
        region = next(n for n, text in enumerate(sound.splitlines(), 1) if "region" in text)
        assert [(one.field, one.line) for one in caught.value.problems] == [("", 3), ("region", region)]


class TestManyMistakes:
    """Everything at once."""

    def test_ten_files(self, folder, policy, reported):
        """A mistake in each of many files: all are reported, with file, field, value and legal values."""
        files = {f"r{n}.json": policy("upload", {name: bad}) for n, (name, (bad, _, _)) in enumerate(MISTAKES.items())}
        found = reported(folder(**files))
        for n, (_, field, words) in enumerate(MISTAKES.values()):
            messages = [message for name, where, message in found if (name, where) == (f"r{n}.json", field)]
            assert len(messages) == 1
            assert words in messages[0]

    def test_ten_in_one_file(self, folder, policy, reported):
        """All those mistakes in one file: all are reported."""
        everything = {name: bad for name, (bad, _, _) in MISTAKES.items()}
        found = {field: message for _, field, message in reported(folder(**{"r.json": policy("upload", everything)}))}
        for _, field, words in MISTAKES.values():
            assert words in found[field]

    def test_ten_between_fields(self, folder, policy, reported):
        """Mistakes that only show between fields are all found in one file, too."""
        bad = policy(
            "upload",
            {
                "vends": ["url", "credentials"],
                "key": "avatars/{principal.sub}/{uuid}.{ext}",
                "inputs": {"ext": {"enum": ["png"]}, "other": {}},
                "content": {"types": ["text/html"], "max_bytes": 5},
                "headers": {"Host": {"const": "x"}, "content-length": {"enum": ["5"]}, "X-A": {"const": "é"}},
                "params": {"acl": {"const": ""}, "a": {"const": "\n"}},
                "expires": {"max_seconds": 5000},
                "credential": {"external_id": "abc", "shared_writes": True, "min_remaining_seconds": 5000},
            },
        )
        fields = {field for _, field, _ in reported(folder(**{"r.json": bad}))}
        assert {
            "key",
            "inputs.other",
            "content.types[0]",
            "headers.Host",
            "headers.content-length",
            "headers.X-A.const",
            "params.acl",
            "params.a.const",
            "expires.max_seconds",
            "credential.external_id",
            "credential.shared_writes",
            "credential.min_remaining_seconds",
        } <= fields

    def test_values_are_shown(self, folder, policy, reported):
        """A message holds what was written, shortened and escaped."""
        bad = policy("read", {"bucket": "x\n" * 100, "region": 5, "methods": [None]})
        found = {field: message for _, field, message in reported(folder(**{"r.json": bad}))}
        assert "'x\\nx\\n" in found["bucket"]
        assert len(found["bucket"]) < 160
        assert "got 5" in found["region"]
        assert "null" in found["methods[0]"]

    def test_one_bad_file(self, folder, policy, reported, limits):
        """One bad file refuses the folder; its sound twin loads."""
        path = folder(**{"a.json": policy("read", {}), "b.json": policy("read", {"region": "x"})})
        assert [name for name, _, _ in reported(path)] == ["b.json"]
        assert len(catalog.load(folder(**{"b.json": policy("read", {})}), limits).routes) == 2
