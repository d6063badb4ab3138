"""The policy files that come with the broker: each loads and does what its description says, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from broker.errors import RequestError
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy import catalog
from broker.policy.asks import Ask
from broker.policy.limits import Limits

FOLDER = Path(__file__).parents[2] / "policies"
NOW = 1_700_000_000
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
DEFAULT_ACL = {
    "cos:x-cos-acl": "default",
    "cos:x-cos-grant-read": "",
    "cos:x-cos-grant-write": "",
    "cos:x-cos-grant-read-acp": "",
    "cos:x-cos-grant-write-acp": "",
    "cos:x-cos-grant-full-control": "",
}
CURRENT = {"cos:versionid": ""}
PNG = {"Content-Type": "image/png", "Content-Length": "1000"}
WRITER = {"sub": "u1", "scope": "profile avatars:write"}
OWNER = {"sub": "u1", "tenant": "acme", "role": "owner"}
KEEPER = {"sub": "u1", "scope": "folder:keys"}


@pytest.fixture(scope="module")
def samples():
    """The folder, loaded."""
    return catalog.load(FOLDER, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com"))


@pytest.fixture
def ask(samples):
    """What a sample grants for claims (None: a stranger) and an ask."""

    def give(name, claims, **asked):
        principal = ANONYMOUS if claims is None else Principal(claims)
        route = samples.route(name)
        asked.setdefault("vend", route.document.vends[0])
        return route.order(Ask(**asked), route.admit(principal), NOW)

    return give


@pytest.fixture
def code(ask):
    """The code of a refusal."""

    def give(name, claims, **asked):
        with pytest.raises(RequestError) as caught:
            ask(name, claims, **asked)
        return caught.value.code

    return give


def document(*statements):
    """A CAM document of (actions, key, condition)."""
    return {
        "version": "2.0",
        "statement": [
            {
                "effect": "allow",
                "action": [f"name/cos:{action}" for action in actions],
                "resource": [f"{RESOURCE}{key}"],
                "condition": condition,
            }
            for actions, key, condition in statements
        ],
    }


def test_all_files(samples):
    """Every file is a route, says what it is for, and none is known to this test alone."""
    names = {path.stem for path in FOLDER.glob("*.json")} - {"policy.schema"}
    assert set(samples.routes) == names
    assert names >= {"avatars", "downloads", "my-files-delete", "private-files", "reports", "user-folder"}
    assert all(route.document.description.endswith(".") for route in samples.routes.values())


class TestAvatars:
    """Signed-in users upload their own avatar."""

    def test_upload(self, ask):
        """A new key in one's own folder, pictures only, not to be overwritten."""
        given = ask("avatars", WRITER, inputs={"ext": "png"}, headers=PNG)
        assert re.fullmatch(r"avatars/u1/[0-9a-f-]{36}\.png", given.request.key)
        assert given.request.method == "PUT"
        assert given.request.headers == {
            "Host": "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com",
            **PNG,
            "Cache-Control": "no-store",
            "x-cos-forbid-overwrite": "true",
        }
        condition = {
            "string_equal": {"cos:content-type": ["image/png", "image/jpeg", "image/webp"]},
            "numeric_less_than_equal": {"cos:content-length": 5242880},
            "string_equal_if_exist": DEFAULT_ACL,
        }
        assert json.loads(given.demand.scope.document) == document((["PutObject"], "avatars/u1/*", condition))

    def test_asked_again(self, ask, code):
        """The same key may be asked for again, another user's may not."""
        assert ask("avatars", WRITER, key=f"avatars/u1/{UUID}.png", headers=PNG)
        assert code("avatars", WRITER, key=f"avatars/u10/{UUID}.png", headers=PNG) == "key_not_allowed"
        assert code("avatars", WRITER, key="avatars/u1/me.png", headers=PNG) == "key_not_allowed"

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"inputs": {"ext": "svg"}}, "input_not_allowed"),
            ({"headers": {**PNG, "Content-Type": "image/svg+xml"}}, "content_type_not_allowed"),
            ({"headers": {**PNG, "Content-Length": "5242881"}}, "content_too_large"),
            ({"headers": {"Content-Type": "image/png"}}, "header_required"),
            ({"headers": {**PNG, "x-cos-acl": "public-read"}}, "header_not_allowed"),
            ({"headers": {**PNG, "x-cos-forbid-overwrite": "false"}}, "header_not_allowed"),
            ({"method": "GET"}, "method_not_allowed_by_policy"),
            ({"vend": "credentials"}, "vend_not_allowed"),
            ({"expires_in": 901}, "expires_too_long"),
        ],
    )
    def test_refused(self, ask, code, changes, expected):
        """Each limit holds; the twin without the change is granted."""
        sound = {"inputs": {"ext": "png"}, "headers": PNG}
        assert code("avatars", WRITER, **{**sound, **changes}) == expected
        assert ask("avatars", WRITER, **sound)

    @pytest.mark.parametrize(
        "claims", [{"sub": "u1"}, {"sub": "u1", "scope": "avatars:writer"}, {"scope": "avatars:write"}]
    )
    def test_who(self, code, claims):
        """Only users with the scope, and with a name."""
        assert code("avatars", claims, inputs={"ext": "png"}, headers=PNG) == "principal_not_allowed"
        assert code("avatars", None, inputs={"ext": "png"}, headers=PNG) == "unauthenticated"


class TestDownloads:
    """Public release files for everyone who asks."""

    def test_download(self, ask):
        """A stranger gets a link to a release file."""
        given = ask("downloads", None, inputs={"file": "broker-1.0.tar.gz"})
        assert (given.request.method, given.request.key) == ("GET", "downloads/broker-1.0.tar.gz")
        held = {"string_equal_if_exist": {**CURRENT, "cos:response-content-type": ""}}
        assert json.loads(given.demand.scope.document) == document((["GetObject"], "downloads/*", held))

    @pytest.mark.parametrize("file", ["../avatars", "a/b", ".env", "A.zip", "", "a" * 101])
    def test_refused(self, code, file):
        """Nothing else is one."""
        assert code("downloads", None, inputs={"file": file}) == "input_not_allowed"
        assert code("downloads", None, key=f"downloads/{file}") == "key_not_allowed"


class TestPrivateFiles:
    """Users read the files below their own folder."""

    @pytest.mark.parametrize(
        ("method", "action", "extra"),
        [("GET", "GetObject", {"cos:response-content-type": ""}), ("HEAD", "HeadObject", {})],
    )
    def test_read(self, ask, method, action, extra):
        """Any depth below one's own folder, with ranges and conditions."""
        headers = {"Range": "bytes=0-99", "If-None-Match": '"abc-1"'}
        given = ask("private-files", {"sub": "u1"}, method=method, key="files/u1/a/b.txt", headers=headers)
        assert headers.items() <= given.request.headers.items()
        held = {"string_equal_if_exist": {**CURRENT, **extra}}
        assert json.loads(given.demand.scope.document) == document(([action], "files/u1/*", held))

    def test_refused(self, code):
        """Not other folders, not writing, no other headers, no strangers."""
        assert code("private-files", {"sub": "u1"}, method="GET", key="files/u10/a") == "key_not_allowed"
        assert code("private-files", {"sub": "u1"}, method="PUT", key="files/u1/a") == "method_not_allowed_by_policy"
        assert (
            code("private-files", {"sub": "u1"}, method="GET", key="files/u1/a", headers={"Range": "bytes=-5"})
            == "header_not_allowed"
        )
        assert code("private-files", None, method="GET", key="files/u1/a") == "unauthenticated"


class TestMyFilesDelete:
    """Users delete one of their own files."""

    def test_delete(self, ask):
        """The credential reaches that object alone."""
        given = ask("my-files-delete", {"sub": "u1"}, inputs={"path": "a/b.txt"})
        assert (given.request.method, given.request.key, given.expires_in) == ("DELETE", "files/u1/a/b.txt", 60)
        assert json.loads(given.demand.scope.document) == document(
            (["DeleteObject"], "files/u1/a/b.txt", {"string_equal_if_exist": CURRENT})
        )

    def test_refused(self, code):
        """Not others' files, not longer than two minutes."""
        assert code("my-files-delete", {"sub": "u1"}, key="files/u2/a") == "key_not_allowed"
        assert code("my-files-delete", {"sub": "u1"}, key="files/u1/a", expires_in=121) == "expires_too_long"


class TestReports:
    """A tenant's monthly reports."""

    def test_report(self, ask):
        """Served as PDF, saved under a readable name."""
        given = ask("reports", OWNER, inputs={"month": "2026-10"}, filename="Report 2026-10.pdf")
        assert given.request.key == "reports/acme/2026-10.pdf"
        assert given.request.params == {
            "response-content-type": "application/pdf",
            "response-content-disposition": 'attachment; filename="Report 2026-10.pdf"',
        }
        held = {"string_equal_if_exist": {**CURRENT, "cos:response-content-type": ["application%2Fpdf"]}}
        assert json.loads(given.demand.scope.document) == document((["GetObject"], "reports/acme/*", held))

    def test_refused(self, code):
        """Not other months' forms, not other tenants, not other roles."""
        assert code("reports", OWNER, inputs={"month": "2026-13"}) == "input_not_allowed"
        assert code("reports", OWNER, key="reports/acme2/2026-10.pdf") == "key_not_allowed"
        assert code("reports", {**OWNER, "role": "guest"}, inputs={"month": "2026-10"}) == "principal_not_allowed"
        assert code("reports", {"sub": "u1", "role": "owner"}, inputs={"month": "2026-10"}) == "principal_not_allowed"


class TestUserFolder:
    """Temporary keys for the user's own folder."""

    def test_keys(self, ask):
        """Put, get, head and delete below one prefix, uploads up to the limit."""
        given = ask("user-folder", KEEPER)
        assert (given.key_prefix, given.demand.required_seconds) == ("files/u1/", 600)
        put = {"numeric_less_than_equal": {"cos:content-length": 104857600}, "string_equal_if_exist": DEFAULT_ACL}
        get = {"string_equal_if_exist": {**CURRENT, "cos:response-content-type": ""}}
        assert json.loads(given.demand.scope.document) == document(
            (["PutObject"], "files/u1/*", put),
            (["GetObject"], "files/u1/*", get),
            (["HeadObject", "DeleteObject"], "files/u1/*", {"string_equal_if_exist": CURRENT}),
        )
        assert sorted(given.actions) == [f"name/cos:{name}Object" for name in ("Delete", "Get", "Head", "Put")]

    def test_refused(self, code):
        """Not without the scope, and no URLs."""
        assert code("user-folder", {"sub": "u1", "scope": "folder"}) == "principal_not_allowed"
        assert code("user-folder", KEEPER, vend="url", inputs={"path": "a"}) == "vend_not_allowed"
