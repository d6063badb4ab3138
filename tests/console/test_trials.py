"""Section Try it: a form made of the route, whose fields are named as a refusal names them."""

from __future__ import annotations

import pytest

from broker.console import pages


def fields(found) -> list[str]:
    """The names of a form's fields, in their order."""
    return [one["name"] for tag, one in found.elements if tag in ("input", "select", "textarea") and "name" in one][1:]


def form(found) -> dict[str, str]:
    """What the form says to its script."""
    (told,) = [one for tag, one in found.elements if tag == "form" and one.get("id") == "ask"]
    return {name.removeprefix("data-"): value for name, value in told.items() if name.startswith("data-")}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("avatars", ["claims.sub", "claims.scope", "file", "inputs.ext", "key", "headers.Content-Type",
                     "headers.Content-Length", "expires_in"]),
        ("avatars&vend=signature", ["claims.sub", "claims.scope", "file", "inputs.ext", "key", "headers.Content-Type",
                                    "headers.Content-Length", "expires_in"]),
        ("avatar-download", ["claims.sub", "key", "filename", "expires_in"]),
        ("downloads", ["inputs.file", "key", "filename", "expires_in"]),
        ("private-files&vend=url&method=HEAD", ["claims.sub", "inputs.path", "key", "headers.Range",
                                                "headers.If-None-Match", "expires_in"]),
        ("user-folder", ["claims.sub", "claims.scope"]),
        ("videos", ["claims.sub", "file", "inputs.ext", "key", "headers.Content-Type", "expires_in"]),
        ("videos&vend=form", ["claims.sub", "file", "inputs.ext", "key", "headers.Content-Type", "expires_in"]),
        ("videos&vend=confirm", ["claims.sub", "key"]),
        ("needs", ["claims.sub", "file", "inputs.name", "key", "headers.Content-Language", "params.page",
                   "expires_in"]),
        ("anything&method=PUT", ["claims.sub", "file", "inputs.path", "key", "headers.Content-Language",
                                 "headers.Range", "meta", "params.mode", "params.response-content-type", "expires_in"]),
    ],
)  # fmt: skip
def test_fields(page, query, wanted):
    """There is a field for each thing that the vend takes, and for nothing else."""
    assert fields(page(f"/try?route={query}")) == wanted


def test_choices(page):
    """Where the policy lists values, one of them is chosen; a claim that decides has one that would do."""
    found = page("/try?route=avatars")
    assert [text for text in found.texts("option") if text in ("png", "jpg", "webp")] == ["png", "jpg", "webp"]
    values = {one["name"]: one["value"] for tag, one in found.elements if tag == "input" and one.get("value")}
    assert (values["claims.sub"], values["claims.scope"]) == ("u1", "avatars:write")
    assert page("/try?route=two-claims").texts("p", class_="hint") == []


def test_added(page):
    """What the broker adds is told, not asked for."""
    assert page("/try?route=avatars").texts("p", class_="hint")[-1] == (
        "Added by the broker: Cache-Control: no-store, x-cos-forbid-overwrite: true"
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("avatars", {"vend": "url", "method": "PUT", "most": str(5 * 2**20), "reader": "avatar-download"}),
        ("videos", {"vend": "multipart", "method": "", "most": str(2**31), "reader": "", "confirms": ""}),
        ("anything&method=DELETE", {"vend": "url", "method": "DELETE", "most": "0", "reader": "", "says-method": ""}),
        ("anything&method=PUT", {"method": "PUT", "most": str(5 * 2**30), "reader": "anything"}),
        ("my-files-delete", {"vend": "url", "method": "DELETE", "most": "0"}),
        ("avatars&vend=nonsense&method=BREW", {"vend": "url", "method": "PUT"}),
    ],
)
def test_told(page, query, told):
    """The script learns how much may go up, who vends links to it, and whether it can be confirmed."""
    found = form(page(f"/try?route={query}"))
    assert {name: found[name] for name in told} == told


def test_where_it_sends(console):
    """A page may send to the bucket of its own route, and to nobody else."""
    door = console(BROKER_ANONYMOUS="1", BROKER_COS_ENDPOINT="https://{bucket}.cos.{region}.myqcloud.com")
    policy = door.client.get("/console/try?route=avatars").headers["Content-Security-Policy"]
    assert (
        "connect-src 'self' https://examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com; form-action 'self'"
        in policy
    )


def test_where_a_stranger_sends(console, folder):
    """The page for signing in stays in force behind it: it may reach what any route may, and names no bucket."""
    policies = folder(
        one={"key": "a/{principal.sub}"},
        two={"key": "b/{principal.sub}", "endpoint": "https://cdn.example.com"},
        three={"key": "c/{principal.sub}", "endpoint": "https://{bucket}.cos.accelerate.myqcloud.com"},
    )
    door = console(BROKER_POLICIES=str(policies), BROKER_COS_ENDPOINT="https://{bucket}.cos.{region}.myqcloud.com")
    answer = door.client.get("/console/try?route=one")
    assert answer.status_code == 401
    policy = answer.headers["Content-Security-Policy"]
    hosts = "https://*.cos.accelerate.myqcloud.com https://*.myqcloud.com https://cdn.example.com"
    assert f"connect-src 'self' {hosts}; " in policy
    assert "examplebucket" not in policy
    assert "connect-src 'self'; " in door.client.get("/console").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("https://{bucket}.cos.{region}.myqcloud.com", "https://*.myqcloud.com"),
        ("https://{bucket}.cos.accelerate.myqcloud.com", "https://*.cos.accelerate.myqcloud.com"),
        ("https://cos-{region}.example.com", "https://*.example.com"),
        ("http://{bucket}.localhost:9000", "http://*.localhost:9000"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("https://cdn.example.com", "https://cdn.example.com"),
    ],
)
def test_reach(endpoint, told):
    """Of a template only what stands behind its placeholders is told."""
    assert pages.reach(endpoint) == told


def test_before_its_script(page):
    """Until its script is there nothing can be asked: the fields would go into the address of a page."""
    found = page("/try?route=avatars")
    assert ("button", True) in [(tag, "disabled" in one) for tag, one in found.elements if one.get("id") == "go"]


def test_unknown_route(console):
    """A route that is gone is a page that says so."""
    answer = console(BROKER_ANONYMOUS="1").client.get("/console/try?route=nope")
    assert (answer.status_code, "route_not_found" in answer.text) == (404, True)
