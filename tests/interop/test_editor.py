"""What an editor makes of policy files, by the JSON language service of VS Code."""

import json
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
POLICIES = HERE.parents[1] / "policies"
AVATARS = (POLICIES / "avatars.json").read_text(encoding="utf-8")
HEAD = '{\n  "$schema": "./policy.schema.json",\n  '


def editor(*asks: tuple[str, str]) -> list:
    """The answers of the language service; "¦" in a text is the cursor."""
    schema = (POLICIES / "policy.schema.json").read_text(encoding="utf-8")
    told = {"schema": schema, "asks": [{"what": what, "text": text} for what, text in asks]}
    done = subprocess.run(
        ["node", HERE / "editor.js"], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("sample", sorted(POLICIES.glob("*.json")), ids=lambda path: path.stem)
def test_samples(sample):
    """No sample is marked."""
    if sample.name != "policy.schema.json":
        assert editor(("mark", sample.read_text(encoding="utf-8"))) == [[]]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"PUT"', '"PATCH"', "Value is not accepted"),
        ('"bucket"', '"buckets"', "Property buckets is not allowed"),
        ("5242880", '"5 MB"', "Incorrect type"),
        ("examplebucket-1250000000", "examplebucket", "must be a bucket as name-appid"),
        ('"expect": "granted"', '"expect": "denied"', "Value is not accepted"),
        ('{"const": "no-store"}', "{}", "Missing property"),
    ],
)
def test_mistake(old, new, words):
    """A mistake is marked where it stands."""
    changed = AVATARS.replace(old, new, 1)
    line = changed[: changed.index(new)].count("\n") + 1
    (marks,) = editor(("mark", changed))
    assert any(words in mark["message"] and mark["line"] == line for mark in marks), marks


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HEAD + "¦\n}", {"vends", "bucket", "key", "content", "expires", "condition", "tests"}),
        (HEAD + '"vends": [¦]\n}', {'"url"', '"download-url"', '"signature"', '"credentials"'}),
        (HEAD + '"methods": ["PUT", ¦]\n}', {'"GET"', '"HEAD"'}),
        (HEAD + '"credential": {¦}\n}', {"scope", "duration_seconds", "role_arn"}),
        (HEAD + '"credential": {"scope": ¦}\n}', {'"route"', '"principal"', '"object"'}),
        (HEAD + '"headers": {"Range": {¦}}\n}', {"const", "enum", "pattern"}),
        (HEAD + '"condition": {¦}\n}', {"ip_equal", "bool_equal"}),
        (HEAD + '"tests": [{"expect": ¦}]\n}', {'"granted"', '"key_not_allowed"'}),
        (HEAD + '"tests": [{"ask": {¦}}]\n}', {"vend", "key", "inputs"}),
    ],
)
def test_completion(text, wanted):
    """What may stand at the cursor is offered; fields come with what they mean."""
    (items,) = editor(("complete", text))
    assert wanted - {item["label"] for item in items} == set()
    documented = [item for item in items if item["label"] in ("vends", "scope", "const")]
    assert all(json.dumps(item["documentation"]) != '""' for item in documented)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ('"vends"', "Which endpoints the route has"),
        ('"max_bytes"', "Longest object, in bytes"),
        ('"principals"', "absent: any authenticated principal"),
        ('"max_seconds"', "more is refused, never shortened"),
        ('"expect"', "the code of the refusal"),
    ],
)
def test_hover(field, words):
    """A field explains itself."""
    (told,) = editor(("hover", AVATARS.replace(field, field[0] + "¦" + field[1:], 1)))
    assert words in json.dumps(told)
