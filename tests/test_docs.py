"""The documentation names tests and files that there are."""

from __future__ import annotations

import ast
import re

import pytest

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
