"""Section Permissions: the document beside the key, and the statement that decides."""

from __future__ import annotations

import json

import pytest

AVATARS = {"route": "avatars", "claims.sub": "u1", "claims.scope": "avatars:write", "inputs.ext": "png"}
OWN = "avatars/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"
OTHERS = OWN.replace("/u1/", "/u2/")


def statements(found) -> list[dict]:
    """The statements of every document on the page."""
    return [json.loads(text) for text in found.texts("pre")]


def test_first_look(page):
    """Without a word said it shows a caller that the route would admit, and its document."""
    found = page("/permissions?route=avatars")
    assert ("input", "u1") in [
        (tag, one.get("value")) for tag, one in found.elements if one.get("name") == "claims.sub"
    ]
    assert [one["resource"][0].rpartition("/")[0].endswith("/avatars/u1") for one in statements(found)] == [True]
    assert found.texts("p", class_="template")[0] == "avatars/{principal.sub}/{uuid}.{ext}"


def test_rendered(page):
    """The key is rendered beside its template, and the document holds the claim."""
    found = page("/permissions", AVATARS)
    _, key = found.texts("p", class_="template")
    assert key.startswith("avatars/u1/")
    assert key.endswith(".png")
    (one,) = statements(found)
    assert one["resource"] == ["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/avatars/u1/*"]
    other = page("/permissions", {**AVATARS, "claims.sub": "u7"})
    assert statements(other)[0]["resource"][0].endswith("/avatars/u7/*")


def test_allowed(page):
    """What the route grants is allowed, and the statement that allows it is lit up."""
    found = page("/permissions", {**AVATARS, "try": f"PUT {OWN}"})
    assert found.texts("div", class_="allowed")[0].startswith(f"Allowed PUT {OWN} by url")
    assert found.texts("p", class_="mark") == ["This statement decides: allow"]
    assert len(found.texts("li", class_="decides")) == 1


def test_denied(page):
    """What it does not is denied by both locks: the broker says why, and each statement why it does not allow it."""
    found = page("/permissions", {**AVATARS, "try": f"PUT {OTHERS}"})
    (told,) = found.texts("div", class_="denied")
    assert "The broker refuses: key_not_allowed" in told
    assert found.texts("li", class_="decides") == []
    assert any(note.startswith("reaches ") and OTHERS in note for note in found.texts("p", class_="note"))


def test_by_handed_out_keys(page):
    """Keys that the broker hands out do what their document says, though it signs nothing itself."""
    asked = {"route": "user-folder", "claims.sub": "u1", "claims.scope": "folder:keys"}
    found = page("/permissions", {**asked, "try": "DELETE files/u1/a.txt"})
    assert found.texts("div", class_="allowed")[0].startswith("Allowed DELETE files/u1/a.txt with the keys")
    found = page("/permissions", {**asked, "try": "DELETE files/u10/a.txt"})
    assert found.texts("div", class_="denied")[0].startswith("Denied")
    assert found.texts("div", class_="allowed") == []


@pytest.mark.parametrize("scope", ["", "avatars:read", "xavatars:write"])
def test_claims_of_no_use(page, scope):
    """A caller that the route does not admit is refused, at the field."""
    found = page("/permissions", {**AVATARS, "claims.scope": scope})
    assert "principal_not_allowed" in found.texts("p", class_="refused")[0]
    invalid = [one["name"] for tag, one in found.elements if one.get("aria-invalid")]
    assert invalid == ["claims.scope"]
    assert found.texts("pre") == []


@pytest.mark.parametrize("sub", ["u1/../u2", "*", "u\u202e1", '"', "${x}", "a" * 129])
def test_hostile_claim(page, sub):
    """A claim that could widen a key is refused here as it is by the broker, or is mere text in the document."""
    found = page("/permissions", {**AVATARS, "claims.sub": sub})
    if sub == '"':
        assert statements(found)[0]["resource"][0].endswith('/avatars/"/*')
    else:
        assert "principal_not_allowed" in found.texts("p", class_="refused")[0]


@pytest.mark.parametrize("tried", ["PUT", "x", "PUT ", "?"])
def test_no_request(page, tried):
    """What is no request is pointed out at its field; the rest is shown."""
    found = page("/permissions", {**AVATARS, "try": tried})
    assert [one["name"] for _, one in found.elements if one.get("aria-invalid")] == ["try"]
    assert found.texts("pre") != []


def test_odd_method(page):
    """A method that COS does not have is denied."""
    found = page("/permissions", {**AVATARS, "try": f"BREW {OWN}"})
    assert found.texts("div", class_="denied") != []


@pytest.mark.parametrize("tried", ['PUT "><script>alert(1)</script>', "PUT a\u202eb", "PUT {{ 7*7 }}"])
def test_hostile_request(page, tried):
    """What is tried is shown as it was typed, as text."""
    found = page("/permissions", {**AVATARS, "try": tried})
    assert tried in found.texts("bdi")
    assert [one.get("src", "")[-3:] for tag, one in found.elements if tag == "script"] == [".js", ".js"]


def test_request_that_makes_the_document_too_long(page):
    """A key whose document would be too long is refused on the page, whose form stays."""
    found = page("/permissions", {"route": "my-files-delete", "claims.sub": "u1", "try": "PUT " + '"' * 850})
    assert "key_not_allowed: key makes a policy document over 4096 bytes" in found.texts("p", class_="refused")[0]
    assert ("form", "post") in [(tag, one.get("method")) for tag, one in found.elements]


def test_form_of_megabytes(console):
    """More than a form of ours ever is, is a page that says so."""
    door = console(BROKER_ANONYMOUS="1")
    answer = door.client.post("/console/permissions", data={"route": "a" * 100_000})
    assert (answer.status_code, answer.content_type) == (413, "text/html; charset=utf-8")
    assert "request_too_large" in answer.text


def test_object_scope(page):
    """Where each object has a credential of its own, none is shown before an object is named."""
    asked = {"route": "my-files-delete", "claims.sub": "u1"}
    assert page("/permissions", asked).texts("pre") == []
    found = page("/permissions", {**asked, "inputs.path": "a.txt"})
    assert statements(found)[0]["resource"][0].endswith("/files/u1/a.txt")


def test_open_to_everyone(page):
    """Where no claim matters, none is asked for."""
    found = page("/permissions", {"route": "downloads", "inputs.file": "a.txt", "try": "GET downloads/a.txt"})
    assert [one for _, one in found.elements if one.get("name", "").startswith("claims.")] == []
    assert found.texts("div", class_="allowed") != []


def test_claim_that_is_no_text(page, folder):
    """What a rule wants to be a truth value is read as one; a text that looks like one stays a text elsewhere."""
    rules = {"staff": {"const": True}, "word": {"contains": "true"}}
    policies = folder(staff={"key": "s/{principal.sub}", "principals": {"claims": rules}})
    asked = {"route": "staff", "claims.sub": "u1", "claims.word": "true"}
    assert page("/permissions", {**asked, "claims.staff": "true"}, policies).texts("pre") != []
    refused = page("/permissions", {**asked, "claims.staff": "yes"}, policies)
    assert "claims.staff must be True" in refused.texts("p", class_="refused")[0]


def test_claim_of_another_type(page, folder):
    """A claim that is to be a number is read as JSON; what is none, however deep, is a text that does not fit."""
    numbers = folder(levels={"key": "a/{principal.sub}/{uuid}", "principals": {"claims": {"level": {"const": 5}}}})
    for text, admitted in (("5", True), ("[" * 15_000, False), ("6", False)):
        found = page("/permissions", {"route": "levels", "claims.sub": "u1", "claims.level": text}, numbers)
        assert bool(found.texts("pre")) is admitted
