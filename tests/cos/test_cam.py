"""CAM documents: what is built, how it is written and measured."""

from typing import Any
from urllib.parse import quote

import pytest

from broker.cos import cam

BUCKET = "examplebucket-1250000000"
RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
PUT = "name/cos:PutObject"
GET = "name/cos:GetObject"

NO_GRANTS = {
    "cos:x-cos-grant-read": "",
    "cos:x-cos-grant-write": "",
    "cos:x-cos-grant-read-acp": "",
    "cos:x-cos-grant-write-acp": "",
    "cos:x-cos-grant-full-control": "",
}
DEFAULT_ACL = {"string_equal_if_exist": {"cos:x-cos-acl": "default", **NO_GRANTS}}


class TestBuilding:
    """What a document holds."""

    @pytest.mark.parametrize(
        ("region", "bucket", "key", "resource"),
        [
            ("ap-guangzhou", BUCKET, "avatars/u1/*", f"{RESOURCE}avatars/u1/*"),
            ("ap-guangzhou", BUCKET, "dir/a.txt", f"{RESOURCE}dir/a.txt"),
            ("ap-guangzhou", BUCKET, "", RESOURCE),
            ("ap-guangzhou", BUCKET, "目录/a b.txt", f"{RESOURCE}目录/a b.txt"),
            (
                "eu-frankfurt",
                "my-bucket-2-1309999999",
                "a",
                "qcs::cos:eu-frankfurt:uid/1309999999:my-bucket-2-1309999999/a",
            ),
        ],
    )
    def test_resource(self, region: str, bucket: str, key: str, resource: str) -> None:
        """A resource has six segments, the APPID from the bucket's name and the key as it is stored."""
        assert cam.resource(region, bucket, key) == resource

    @pytest.mark.parametrize(
        ("types", "max_bytes", "acl", "condition"),
        [
            pytest.param(None, None, (), DEFAULT_ACL, id="no limits"),
            pytest.param([], None, (), DEFAULT_ACL, id="no types"),
            pytest.param(
                ["image/png"],
                None,
                (),
                {**DEFAULT_ACL, "string_equal": {"cos:content-type": ["image/png"]}},
                id="one type",
            ),
            pytest.param(
                ["image/png", "image/jpeg"],
                5242880,
                (),
                {
                    **DEFAULT_ACL,
                    "string_equal": {"cos:content-type": ["image/png", "image/jpeg"]},
                    "numeric_less_than_equal": {"cos:content-length": 5242880},
                },
                id="types and length",
            ),
            pytest.param(
                ["image/*"],
                None,
                (),
                {**DEFAULT_ACL, "string_like": {"cos:content-type": ["image/*"]}},
                id="media range",
            ),
            pytest.param(
                ["text/plain", "image/*"],
                None,
                (),
                {**DEFAULT_ACL, "string_like": {"cos:content-type": ["text/plain", "image/*"]}},
                id="one range makes one operator for all",
            ),
            pytest.param(
                None,
                0,
                (),
                {**DEFAULT_ACL, "numeric_less_than_equal": {"cos:content-length": 0}},
                id="empty files only",
            ),
            pytest.param(
                None,
                None,
                ["private", "public-read"],
                {"string_equal_if_exist": {"cos:x-cos-acl": ["private", "public-read"], **NO_GRANTS}},
                id="listed ACLs",
            ),
        ],
    )
    def test_put_condition(
        self, types: list[str] | None, max_bytes: int | None, acl: list[str], condition: dict[str, Any]
    ) -> None:
        """An upload's condition holds type, length and ACL, and never a grant."""
        assert cam.put_condition(types, max_bytes, acl) == condition

    @pytest.mark.parametrize(
        ("max_bytes", "acl", "condition"),
        [
            pytest.param(None, (), DEFAULT_ACL, id="no limit"),
            pytest.param(
                5242880,
                (),
                {**DEFAULT_ACL, "numeric_less_than_equal": {"cos:content-length": 5308416}},
                id="length and 65,536 for the form",
            ),
            pytest.param(
                0,
                ["private"],
                {
                    "string_equal_if_exist": {"cos:x-cos-acl": ["private"], **NO_GRANTS},
                    "numeric_less_than_equal": {"cos:content-length": 65536},
                },
                id="empty files only, listed ACL",
            ),
        ],
    )
    def test_post_condition(self, max_bytes: int | None, acl: list[str], condition: dict[str, Any]) -> None:
        """A form's condition never holds the type: the request's own is multipart/form-data."""
        assert cam.post_condition(max_bytes, acl) == condition

    @pytest.mark.parametrize(
        ("version_ids", "response_types", "get", "held"),
        [
            pytest.param(None, None, False, {}, id="open"),
            pytest.param(None, None, True, {}, id="open for get"),
            pytest.param([], None, False, {"cos:versionid": ""}, id="no version"),
            pytest.param(["MTg0"], None, False, {"cos:versionid": ["MTg0"]}, id="one version"),
            pytest.param(["a", "b"], None, False, {"cos:versionid": ["a", "b"]}, id="two versions"),
            pytest.param([], [], False, {"cos:versionid": ""}, id="head and delete have no response type"),
            pytest.param([], ["image/png"], False, {"cos:versionid": ""}, id="nor a listed one"),
            pytest.param([], [], True, {"cos:versionid": "", "cos:response-content-type": ""}, id="nothing for get"),
            pytest.param(None, [], True, {"cos:response-content-type": ""}, id="version open"),
            pytest.param(["a"], None, True, {"cos:versionid": ["a"]}, id="response type open"),
            pytest.param(
                [],
                ["image/jpeg", "text/plain; charset=utf-8"],
                True,
                {
                    "cos:versionid": "",
                    "cos:response-content-type": ["image%2Fjpeg", "text%2Fplain%3B%20charset%3Dutf-8"],
                },
                id="response types are URL-encoded",
            ),
        ],
    )
    def test_read_condition(
        self, version_ids: list[str] | None, response_types: list[str] | None, get: bool, held: dict[str, Any]
    ) -> None:
        """A reader's condition holds the version and, for get alone, the response type."""
        expected = {"string_equal_if_exist": held} if held else {}
        assert cam.read_condition(version_ids, response_types, get=get) == expected

    def test_statement(self) -> None:
        """A statement allows its actions on its resources under its condition."""
        assert cam.statement((PUT,), (f"{RESOURCE}a/*",), {"bool_equal": {"cos:secure-transport": "true"}}) == {
            "effect": "allow",
            "action": ["name/cos:PutObject"],
            "resource": ["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/a/*"],
            "condition": {"bool_equal": {"cos:secure-transport": "true"}},
        }

    def test_statement_without_condition(self) -> None:
        """An empty condition is left out."""
        assert cam.statement([GET], [f"{RESOURCE}a"], {}) == {
            "effect": "allow",
            "action": ["name/cos:GetObject"],
            "resource": ["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/a"],
        }

    @pytest.mark.parametrize(
        ("actions", "resources"),
        [
            pytest.param([], [f"{RESOURCE}a"], id="no actions"),
            pytest.param([GET], [], id="no resources"),
            pytest.param([], [], id="neither"),
        ],
    )
    def test_empty_statement(self, actions: list[str], resources: list[str]) -> None:
        """A statement without actions or resources is refused, naming both."""
        with pytest.raises(ValueError, match="a statement needs actions and resources, got"):
            cam.statement(actions, resources, {})

    def test_document(self) -> None:
        """A document is version 2.0 and holds its statements in order."""
        one, two = cam.statement([GET], ["a"], {}), cam.statement([PUT], ["b"], {})
        assert cam.document([one, two]) == {"version": "2.0", "statement": [one, two]}

    def test_empty_document(self) -> None:
        """A document without statements is refused."""
        with pytest.raises(ValueError, match="a policy document needs at least one statement"):
            cam.document([])


class TestText:
    """How a document is written and measured."""

    def test_compact(self) -> None:
        """The text has sorted keys, no spaces between tokens, and other scripts as they are."""
        document = cam.document(
            [cam.statement([GET], [f"{RESOURCE}目录/a b*"], {"string_equal": {"cos:versionid": ""}})]
        )
        assert cam.compact(document) == (
            '{"statement":[{"action":["name/cos:GetObject"],"condition":{"string_equal":{"cos:versionid":""}},'
            '"effect":"allow","resource":["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/目录/a b*"]}],'
            '"version":"2.0"}'
        )

    def test_equal_documents(self) -> None:
        """Equal documents have equal text, in whatever order their keys were added."""
        one = {"version": "2.0", "statement": [{"effect": "allow", "action": ["a"], "resource": ["b"]}]}
        two = {"statement": [{"resource": ["b"], "action": ["a"], "effect": "allow"}], "version": "2.0"}
        assert cam.compact(one) == cam.compact(two)

    def test_order_of_values(self) -> None:
        """The order of a list is part of a document."""
        assert cam.compact({"action": ["a", "b"]}) != cam.compact({"action": ["b", "a"]})

    @pytest.mark.parametrize(
        ("text", "size"),
        [("", 0), ("abc-_.~", 7), (" ", 3), ("/", 3), ("é", 6), ("腾", 9), ("🎈", 12), ('{"a":"*"}', 25)],
    )
    def test_measure(self, text: str, size: int) -> None:
        """A document's size is that of its percent-encoded UTF-8."""
        assert cam.measure(text) == size == len(quote(text, safe=""))

    def test_measure_of_a_document(self) -> None:
        """A whole document measures as STS receives it."""
        text = cam.compact(
            cam.document([cam.statement([PUT], [f"{RESOURCE}目录/*"], cam.put_condition(["image/*"], 5, []))])
        )
        assert cam.measure(text) == len(quote(text, safe=""))
