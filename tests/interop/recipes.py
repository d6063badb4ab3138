"""The code that `docs/clients.md` shows, which is the code that the tests here run."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


def recipe(heading: str, language: str) -> str:
    """The one block of code in a language below a heading."""
    sections = re.split(r"^## (.+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    section = dict(zip(sections[1::2], sections[2::2], strict=True))[heading]
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return code


def python_recipe(heading: str) -> ModuleType:
    """The functions of a recipe in Python."""
    module = ModuleType(heading)
    exec(compile(recipe(heading, "python"), f"{PAGE.name}: {heading}", "exec"), module.__dict__)  # our own page
    return module
