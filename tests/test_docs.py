"""The documentation names tests and files that there are."""

from __future__ import annotations

import ast
import json
import re

import pytest
from jsonschema import Draft202012Validator

from broker.policy import catalog
from broker.policy.document import PolicyDocument
from broker.policy.limits import Limits
from broker.policy.schema import schema
from tests.conftest import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("docs/*.md"), REPOSITORY / "README.md", REPOSITORY / "policies" / "README.md"])


def names() -> set[str]:
    """Every test, test class and literal text of the tests."""
    found = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files(page):
    """Every file of ours that a page names is there."""
    text = page.read_text()
    named = re.findall(r"`((?:tests|broker|policies|docs)/[\w./-]+\.(?:py|json|md))`", text)
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [name for name in named if not (REPOSITORY / name).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_tests(page):
    """Every test that a page names is there."""
    named = set(re.findall(r"`(test_\w+|Test[A-Z]\w+)`", page.read_text()))
    assert named - names() == set()


def test_additions():
    """Every addition to a signed request that the security page names is tried."""
    text = (REPOSITORY / "docs" / "security.md").read_text()
    rows = text.partition("## What neither lock holds")[2].partition("## Not known")[0]
    named = {
        name
        for row in rows.splitlines()
        if row.startswith("| ")
        for name in re.findall(r"`([a-z-]+)`", row.split("|")[4])
    }
    tried = re.findall(r'^    "([a-z-]+)": ', (REPOSITORY / "tests/locks/test_holders.py").read_text(), re.MULTILINE)
    assert named
    assert named - set(tried) == set()


def example(page) -> dict:
    """The policy that a page shows."""
    return json.loads(re.search(r"```json\n(\{.*?\n\})\n```", page.read_text(), re.DOTALL)[1])


@pytest.mark.parametrize(
    "page", [REPOSITORY / "README.md", REPOSITORY / "policies" / "README.md"], ids=["main", "policies"]
)
def test_examples(page, tmp_path):
    """The policies that the pages show load, their own tests included, with nothing to warn of."""
    policy = example(page)
    (tmp_path / "example.json").write_text(json.dumps(policy))
    limits = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com", {"POLICY_BUCKET": "examplebucket-1250000000"})
    loaded = catalog.load(tmp_path, limits)
    assert loaded.warnings == ()
    assert list(Draft202012Validator(schema()).iter_errors(policy)) == []


def test_fields():
    """Every field of a policy file is in the table of fields."""
    rows = re.findall(r"^\| (`[^|]+) \|", (REPOSITORY / "policies" / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {field.alias or name for name, field in PolicyDocument.model_fields.items()} - named == set()
