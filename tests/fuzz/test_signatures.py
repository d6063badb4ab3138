"""Whatever stands where the emulator looks for a signature: it is refused as COS refuses, or it is the one signed."""

from __future__ import annotations

from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.emulator.server import Emulator
from tests.emulator.conftest import ACCOUNT, HOST, Clock, World
from tests.fuzz.conftest import FUZZ

SIGNED = ("q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list", "q-signature")
ODD = [
    "",
    "sha1",
    "sha256",
    "0;1",
    "1;",
    ";",
    "1;2;3",
    "-1;1",
    "9" * 30,
    "host",
    "host;host",
    "HOST",
    "a=b",
    "&",
    "=",
    "%",
]
ODD += [
    "%ff",
    "\u00e9",
    "\x7f",
    "AKIDEXAMPLE",
    "q-ak",
    "x" * 300,
    "0" * 40,
    "x-cos-security-token",
    "1699999940;1700000300",
]
TEXT = st.sampled_from(ODD) | st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=6)
CHANGES = st.dictionaries(st.sampled_from(SIGNED), TEXT | st.none(), max_size=3)


@pytest.fixture(scope="module")
def world() -> World:
    """An emulator for all examples: they store one object, again and again."""
    clock = Clock()
    return World(Emulator(ACCOUNT, clock=clock), clock)


def changed(world: World, changes: dict[str, str | None]) -> tuple[list[tuple[str, str]], bool]:
    """The fields of a good signature with some replaced or left out, and whether it still says the same."""
    good = dict(
        part.split("=", 1)
        for part in world.sign(world.account, "PUT", "a", {"Host": HOST}, {}, (1_699_999_940, 1_700_000_300)).split("&")
    )
    found = {**good, **changes}
    # A list's case and its empty members say nothing.
    lists = {name: found[name] and ";".join(filter(None, found[name].lower().split(";"))) for name in SIGNED[4:6]}
    same = {**found, **lists} == good
    return [(name, value) for name, value in found.items() if value is not None], same


def check(world: World, query: str, headers: dict[str, str], *, good: bool) -> None:
    """Send it: an error of COS's own, well-formed, unless it is good."""
    response = world.http.put(f"/a?{query}", headers={"Host": HOST, **headers}, data=b"x")
    if good:
        assert response.status_code == 200
        return
    assert response.status_code in (400, 403, 411), response.data
    assert ElementTree.fromstring(response.data).findtext("Code")


@FUZZ
@given(changes=CHANGES, place=st.sampled_from(["query", "authorization", "sign"]))
def test_changed_fields(world: World, changes: dict[str, str | None], place: str) -> None:
    """A signature of which anything was changed, in each of its places."""
    fields, same = changed(world, changes)
    text = "&".join(f"{name}={value}" for name, value in fields)
    if place == "query":
        check(world, "&".join(f"{name}={quote(value)}" for name, value in fields), {}, good=same)
    elif place == "sign":
        check(world, f"sign={quote(text)}", {}, good=same)
    else:
        check(world, "", {"Authorization": text}, good=same)


@FUZZ
@given(TEXT, TEXT)
def test_anything(world: World, authorization: str, query: str) -> None:
    """No signature at all."""
    check(world, quote(query, safe="&=;%"), {"Authorization": authorization}, good=False)
