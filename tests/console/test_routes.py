"""Section Routes: every route, all there is to say of it, and the policy file as it is served."""

from __future__ import annotations

import json

import pytest

from broker.console.listing import duration, size

HOSTILE = '<script>alert("x")</script>\u202e{{ 7 * 7 }}'


def test_every_route(page, policies):
    """Each is there with its description, its vends, its key, its limits."""
    found = page()
    names = sorted(path.stem for path in policies.glob("*.json") if path.stem != "policy.schema")
    assert sorted(found.texts("h2")) == names
    for name in names:
        policy = json.loads((policies / f"{name}.json").read_text())
        assert policy["key"] in found.texts("code")
        assert not policy.get("description") or policy["description"] in found.texts("p", class_="about")
    assert any("1000/minute" in facts for facts in found.texts("p", class_="facts"))
    assert any("5 MiB" in facts for facts in found.texts("p", class_="facts"))


def test_one_route(page):
    """Its own page says who may use it, what for, and within which limits."""
    found = page("/routes/avatars")
    told = dict(zip(found.texts("dt"), found.texts("dd"), strict=True))
    assert told["Who"] == "scope contains avatars:write"
    assert told["Vends"] == "url signature"
    assert told["Inputs"] == "ext one of png, jpg, webp"
    assert told["Content"] == "types image/png, image/jpeg, image/webp at most 5 MiB"
    assert told["Headers"] == "Cache-Control is no-store x-cos-forbid-overwrite is true"
    assert told["Links live"] == "300 s, at most 900 s"
    assert told["Rate"] == "no limit of its own"
    assert len(found.texts("li")) >= 5
    assert dict(zip(*(page("/routes/my-files-delete").texts(one) for one in ("dt", "dd")), strict=True))["Rate"] == (
        "1000/minute for each caller"
    )


@pytest.mark.parametrize("name", ["avatars", "downloads", "videos", "anything"])
def test_file(page, policies, name):
    """The file that is shown is the file that is served, its fields in the order of the contract."""
    found = page(f"/routes/{name}")
    (text,) = [text for text in found.texts("pre") if text.startswith("{")]
    policy = json.loads((policies / f"{name}.json").read_text())
    policy.pop("$schema", None)
    assert json.loads(text) == policy


def test_without_inputs(page, folder):
    """A route that leaves nothing to choose says so."""
    found = page("/routes/fixed", policies=folder(fixed={"key": "a/b.txt", "methods": ["GET"]}))
    assert dict(zip(found.texts("dt"), found.texts("dd"), strict=True))["Inputs"].startswith("none")


def test_findings(page, folder):
    """Lint's findings stand with their route, line and field; a route without any says so."""
    policies = folder(wide={"key": "w/{principal.sub}/{uuid}"}, narrow={"key": "n/a.txt", "methods": ["GET"]})
    listed = page(policies=policies)
    assert [facts.endswith("3 findings") for facts in listed.texts("p", class_="facts")] == [False, True]
    told = page("/routes/wide", policies=policies).texts("p", class_="notice")
    assert any("content.max_bytes uploads of any size are allowed" in one for one in told)
    assert page("/routes/narrow", policies=policies).texts("p", class_="notice") == ["Lint finds nothing to say."]


def test_change_kept_out(console, folder):
    """A mistake in a changed file stands on top of the list and at its route, which is served as it was."""
    policies = folder(one={"key": "a/{principal.sub}"})
    door = console(BROKER_ANONYMOUS="1", BROKER_POLICIES=str(policies))
    folder(one={"key": "a/{principal.sub}", "vends": ["urls"]})
    door.app.extensions["broker"].refresh_policies()
    assert "Mistakes keep changes out" in door.client.get("/console").text
    shown = door.client.get("/console/routes/one").text
    assert "Kept out:" in shown
    assert "vends[0]" in shown


def test_unknown_route(console):
    """A route that is gone is a page that says so, and leads to the others."""
    answer = console(BROKER_ANONYMOUS="1").client.get("/console/routes/nope")
    assert (answer.status_code, answer.content_type) == (404, "text/html; charset=utf-8")
    assert "route_not_found" in answer.text


def test_find(page):
    """A text is looked for in names, descriptions and keys; if nothing holds it, the page says so."""
    assert page("?find=AVATAR").texts("h2") == ["avatar-download", "avatars"]
    assert page("?find=monthly").texts("h2") == ["reports"]
    assert page("?find=nothing-like-it").texts("h2") == []
    assert "No route holds" in page("?find=nothing-like-it").text
    assert page("?find=%3Cb%3E").texts("b") == []


def test_many_routes(page, folder):
    """500 routes come a hundred a page, each page small, and every one of them can be reached."""
    policies = folder(**{f"r{number:03}": {"key": f"k{number}/{{principal.sub}}"} for number in range(500)})
    seen = []
    for number in range(1, 6):
        found = page(f"?page={number}", policies=policies)
        assert f"{100 * number - 99} to {100 * number}" in found.text
        seen += found.texts("h2")
    assert seen == [f"r{number:03}" for number in range(500)]
    assert page("?find=r49", policies=policies).texts("h2") == [f"r49{number}" for number in range(10)]
    assert len(page("?page=9999", policies=policies).texts("h2")) == 100
    assert len(page("?page=-x", policies=policies).texts("h2")) == 100


def test_hostile_policy(page, folder):
    """What a policy file says is text, wherever it stands, and no template either."""
    policies = folder(
        odd={
            "description": HOSTILE,
            "key": "a<b>\"'/{principal.sub}",
            "headers": {"Content-Language": {"enum": ["<img src=x onerror=alert(1)>"]}},
            "tests": [{"as": {"sub": "</code><script>"}, "ask": {"vend": "url"}, "expect": "principal_not_allowed"}],
        }
    )
    for path in ("", "/routes/odd", "/permissions?route=odd"):
        found = page(path, policies=policies)
        assert found.texts("b") == []
        assert [one["src"] for tag, one in found.elements if tag == "script"] == [
            one["src"] for tag, one in page().elements if tag == "script"
        ]
        assert [one for tag, one in found.elements if tag == "img"] == [
            one for tag, one in page().elements if tag == "img"
        ]
        assert HOSTILE in found.texts("p", class_="about")


@pytest.mark.parametrize(
    ("bytes_", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (5 * 2**20, "5 MiB"), (3 * 2**30 // 2, "1.5 GiB")],
)
def test_size(bytes_, told):
    """Bytes as people read them."""
    assert size(bytes_) == told


@pytest.mark.parametrize(("seconds", "told"), [(0, "0 s"), (59, "59 s"), (90, "1 min 30 s"), (3600, "1 h")])
def test_duration(seconds, told):
    """Seconds as people read them."""
    assert duration(seconds) == told
