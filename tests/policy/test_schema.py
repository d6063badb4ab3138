"""The JSON Schema of policy files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from broker.policy.document import PolicyDocument
from broker.policy.schema import schema, schema_text
from tests.conftest import ODD_POLICIES, REPOSITORY
from tests.policy.test_checks import ALL, SHAPES, name_of

FOLDER = REPOSITORY / "policies"
VALIDATOR = Draft202012Validator(schema())
# What a schema could not say without saying everything twice.
BEYOND = (
    "regular expression", "twice", "a-z 0-9 _", "default_seconds", "1..900", "got 300", "characters", "must not hold",
    "uuid or date", "max_length", "enum", "types or max_bytes", "anonymous", "null", "5368709120", "leave it out",
    "both", "always there",
)  # fmt: skip
TOLD = [
    one
    for one in SHAPES
    if not any(words in one.words for words in BEYOND)
    # Of line ends and other scripts, Python's regular expressions think otherwise than those of editors.
    and (text := repr(one.bad)).isascii() and "\\" not in text
]  # fmt: skip


def everything(part):
    """Every object of a schema."""
    if isinstance(part, dict):
        yield part
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from everything(one)


def test_file():
    """The file that the samples name is what the typed document makes; `python -m broker schema` renews it."""
    assert (FOLDER / "policy.schema.json").read_text() == schema_text()


def test_is_a_schema():
    """It is one, of the dialect it says."""
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_samples(path: Path):
    """Every sample names it and satisfies it."""
    if path.name == "policy.schema.json":
        return
    sample = json.loads(path.read_text())
    assert next(iter(sample)) == "$schema"
    assert (path.parent / sample["$schema"]).resolve() == FOLDER / "policy.schema.json"
    VALIDATOR.validate(sample)


@pytest.mark.parametrize("mistake", ALL, ids=name_of)
def test_nothing_sound_is_refused(policy, mistake):
    """Whatever loads satisfies it: an editor never marks what is right."""
    VALIDATOR.validate(policy(mistake.base, mistake.twin))


def test_odd_policies():
    """So do policies that use much of the format."""
    for odd in ODD_POLICIES.values():
        VALIDATOR.validate({"bucket": "examplebucket-1250000000", "region": "ap-guangzhou", **odd})


@pytest.mark.parametrize("mistake", TOLD, ids=name_of)
def test_shapes(policy, mistake):
    """What is wrong in a single field is marked in the editor already."""
    assert len(TOLD) > 40
    assert not VALIDATOR.is_valid(policy(mistake.base, mistake.bad))


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": "0/minute"}, {"rate": "5/month"}, {"vends": ["upload"]}, {"colour": "red"}, {"content": None},
        {"headers.X-A": {}},
        {"headers.X-A": {"const": "a", "enum": ["b"]}}, {"principals": {"claims": {"a": {}}}},
        {"principals": {"claims": {"a b": {"const": 1}}}}, {"condition": {"ip_equal": {"cos:prefix": "a"}}},
        {"condition": {"like": {"qcs:ip": "1.2.3.4"}}}, {"tests": [{"ask": {}, "expect": "denied"}]},
        {"bucket": "${BUCKET}"}, {"bucket": "*"}, {"vends": ["url", "url"]}, {"inputs": {"Ext": {"enum": ["png"]}}},
    ],
)  # fmt: skip
def test_mistakes(policy, changes):
    """So are rates of nothing and conditions that may not be added."""
    assert not VALIDATOR.is_valid(policy("upload", changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"vends": ["${POLICY_VEND:-url}"]}, {"methods": ["${POLICY_METHOD}"]},
        {"credential": {"scope": "${POLICY_SCOPE}"}},
        {"tests": [{"ask": {"method": "BREW", "expires_in": -1, "headers": {"a": 1}}, "expect": "invalid_request"}]},
    ],
)  # fmt: skip
def test_whatever_loads(policy, changes):
    """A variable may stand for a listed value, too, and examples may try what is no ask."""
    VALIDATOR.validate(policy("upload", changes))


@pytest.mark.parametrize("bucket", ["${POLICY_BUCKET}", "${POLICY_BUCKET:-a-1250000000}", "a-${POLICY_APPID}"])
def test_variables(policy, bucket):
    """A variable may stand where its value will have a form of its own."""
    VALIDATOR.validate(policy("upload", {"bucket": bucket}))


def test_hover():
    """Every field and every part says what it is, and what is absent is not called null."""
    parts = [part for part in everything(schema()) if isinstance(part.get("properties"), dict)]
    for part in parts:
        for name, field in part["properties"].items():
            if name not in ("vend", "method", "bucket", "key", "inputs", "headers", "params", "expires_in", "filename"):
                assert field.get("description") or field.get("type") == "object", name
    assert {"type": "null"} not in list(everything(schema()))
    assert list(schema()["properties"]) == [field.alias or name for name, field in PolicyDocument.model_fields.items()]


def test_completion():
    """Closed lists are spelled out."""
    fields = schema()["properties"]
    vends = fields["vends"]["items"]["anyOf"][0]["enum"]
    assert vends == ["url", "download-url", "signature", "credentials", "form", "multipart", "confirm"]
    assert fields["methods"]["items"]["anyOf"][0]["enum"] == ["PUT", "POST", "GET", "DELETE", "HEAD"]
    assert list(fields["condition"]["properties"]["ip_equal"]["properties"]) == ["qcs:ip"]
    assert "granted" in schema()["$defs"]["Example"]["properties"]["expect"]["anyOf"][0]["enum"]
