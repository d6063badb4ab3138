"""What a session policy lets through: actions, resources, and every condition key."""

import json

import pytest

OTHER_BUCKET = "other-1250000000.cos.ap-guangzhou.myqcloud.com"
OTHER_REGION = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"


def verdict(response):
    """Whether CAM let the request through; 404 and 501 come after it."""
    return "denied" if response.status_code == 403 else "allowed"


class TestScope:
    """Where and what."""

    @pytest.mark.parametrize(
        ("granted", "asked", "expected"),
        [
            ("dir/*", "dir/a", "allowed"),
            ("dir/*", "dir/b/c", "allowed"),
            ("dir/*", "dir", "denied"),
            ("dir/*", "dira", "denied"),
            ("dir/*", "/dir/a", "denied"),
            ("dir/*", "Dir/a", "denied"),
            ("users/u1/*", "users/u10/a", "denied"),
            ("dir/a.txt", "dir/a.txt", "allowed"),
            ("dir/a.txt", "dir/a.txt2", "denied"),
            ("dir/a.txt", "dir/aXtxt", "denied"),
            ("目录/*", "目录/a b", "allowed"),
            ("*", "anything", "allowed"),
        ],
    )
    def test_resource(self, world, granted, asked, expected):
        """A credential reaches its keys and no neighbour."""
        key = world.federate(world.document("PutObject", key=granted))
        assert verdict(world.send("PUT", asked, by=key)) == expected

    def test_other_bucket(self, world):
        """Nor another bucket, however well signed for it."""
        key = world.federate(world.document("PutObject"))
        assert verdict(world.send("PUT", "dir/a", by=key)) == "allowed"
        assert verdict(world.send("PUT", "dir/a", by=key, host=OTHER_BUCKET)) == "denied"

    def test_other_region(self, world, error_code):
        """A bucket is in one region; on another region's host there is none of that name."""
        assert world.send("PUT", "a").status_code == 200
        assert error_code(world.send("PUT", "a", host=OTHER_REGION)) == "NoSuchBucket"

    @pytest.mark.parametrize(
        ("action", "method", "params", "headers"),
        [
            ("PutObject", "PUT", {}, {}),
            ("GetObject", "GET", {}, {}),
            ("HeadObject", "HEAD", {}, {}),
            ("DeleteObject", "DELETE", {}, {}),
            ("PostObject", "POST", {}, {}),
            ("PutObjectACL", "PUT", {"acl": ""}, {}),
            ("GetObjectACL", "GET", {"acl": ""}, {}),
            ("PutObjectTagging", "PUT", {"tagging": ""}, {}),
            ("GetObjectTagging", "GET", {"tagging": ""}, {}),
            ("DeleteObjectTagging", "DELETE", {"tagging": ""}, {}),
            ("AppendObject", "POST", {"append": "", "position": "0"}, {}),
            ("PostObjectRestore", "POST", {"restore": ""}, {}),
            ("InitiateMultipartUpload", "POST", {"uploads": ""}, {}),
            ("UploadPart", "PUT", {"partNumber": "1", "uploadId": "u"}, {}),
            ("CompleteMultipartUpload", "POST", {"uploadId": "u"}, {}),
            ("ListParts", "GET", {"uploadId": "u"}, {}),
            ("AbortMultipartUpload", "DELETE", {"uploadId": "u"}, {}),
        ],
    )
    def test_action(self, world, action, method, params, headers):
        """Each request needs its own action: that alone admits it, all the others together do not."""
        rest = set(
            """
            PutObject GetObject HeadObject DeleteObject PostObject PutObjectACL GetObjectACL PutObjectTagging
            GetObjectTagging DeleteObjectTagging AppendObject PostObjectRestore InitiateMultipartUpload UploadPart
            CompleteMultipartUpload ListParts AbortMultipartUpload
            """.split()
        ) - {action}
        sent = {"method": method, "key": "dir/a", "params": params, "headers": headers}
        assert verdict(world.send(**sent, by=world.federate(world.document(action)))) == "allowed"
        assert verdict(world.send(**sent, by=world.federate(world.document(*sorted(rest))))) == "denied"
        assert world.emulator.stats()["cos"] == {action: 2}

    @pytest.mark.parametrize(
        ("method", "params", "status"),
        [
            ("GET", {}, 200),
            ("GET", {"prefix": "dir/"}, 200),
            ("HEAD", {}, 200),
            ("GET", {"uploads": ""}, 200),
            ("GET", {"versions": ""}, 501),
            ("GET", {"policy": ""}, 501),
            ("GET", {"uploads": "", "policy": ""}, 501),
            ("PUT", {}, 501),
            ("PUT", {"cors": ""}, 501),
            ("POST", {}, 501),
            ("POST", {"delete": ""}, 501),
            ("DELETE", {}, 501),
        ],
    )
    def test_bucket(self, world, method, params, status):
        """A credential for objects opens nothing on the bucket; one for everything does, or meets 501."""
        objects = world.federate(world.document("*", key="dir/*"))
        assert world.send(method, "", by=objects, params=params).status_code == 403
        assert world.send(method, "", params=params).status_code == status

    def test_unknown_sub_resource(self, world):
        """A sub-resource that the emulator does not know is never taken for the plain request."""
        key = world.federate(world.document("GetObject"))
        world.send("PUT", "dir/a")
        assert world.send("GET", "dir/a", by=key, params={"torrent": ""}).status_code == 403
        assert world.send("GET", "dir/a", by=key, params={"imageMogr2/thumbnail/200x": ""}).status_code == 200

    def test_copy(self, world, error_code):
        """A copy reads its source, which the credential must be allowed to; then it is not served yet."""
        source = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
        key = world.federate(world.document("PutObject", "GetObject"))
        writer = world.federate(world.document("PutObject"))
        inside, outside = ({"x-cos-copy-source": f"{source}/{name}"} for name in ("dir/a%20b", "secret"))
        assert error_code(world.send("PUT", "dir/b", by=key, headers=inside)) == "NotImplemented"
        assert error_code(world.send("PUT", "dir/b", by=key, headers=outside)) == "AccessDenied"
        assert error_code(world.send("PUT", "dir/b", by=writer, headers=inside)) == "AccessDenied"
        assert error_code(world.send("PUT", "dir/b", headers={"x-cos-copy-source": "dir/a"})) == "InvalidArgument"

    @pytest.mark.parametrize(
        ("fileid", "bucket", "expected"),
        [
            ("small.png", None, "NotImplemented"),
            ("a/b/small.png", None, "NotImplemented"),
            ("/dir/small.png", None, "NotImplemented"),
            ("small.png", "examplebucket-1250000000", "NotImplemented"),
            ("/small.png", None, "AccessDenied"),
            ("/other/small.png", None, "AccessDenied"),
            ("/dir0/small.png", None, "AccessDenied"),
            ("//dir/small.png", None, "AccessDenied"),
            ("small.png", "other-1250000000", "AccessDenied"),
        ],
    )
    def test_pictures(self, world, error_code, fileid, bucket, expected):
        """Each picture that Pic-Operations makes of a PUT is written, which the credential must be allowed to."""
        rule = {"fileid": fileid, "rule": "imageMogr2/format/png"} | ({"bucket": bucket} if bucket else {})
        sound = {"fileid": "first.png", "rule": "imageMogr2/rotate/90"}
        operations = json.dumps({"is_pic_info": 1, "rules": [sound, rule]})
        key = world.federate(world.document("PutObject"))
        assert error_code(world.send("PUT", "dir/a.jpg", by=key, headers={"Pic-Operations": operations})) == expected
        unsigned = {"headers": {"Pic-Operations": operations}}
        assert error_code(world.send("PUT", "dir/a.jpg", by=key, changed=unsigned)) == expected
        assert error_code(world.send("PUT", "dir/a.jpg", headers={"Pic-Operations": operations})) == "NotImplemented"
        assert world.send("PUT", "dir/a.jpg", by=key).status_code == 200

    def test_pictures_at_the_root(self, world, error_code):
        """The folder of an object without one is the bucket's root."""
        key = world.federate(world.document("PutObject", key="a*"))
        for fileid, expected in (("a.png", "NotImplemented"), ("b.png", "AccessDenied")):
            headers = {"Pic-Operations": json.dumps({"rules": [{"fileid": fileid, "rule": "imageMogr2"}]})}
            assert error_code(world.send("PUT", "a.jpg", by=key, headers=headers)) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "null",
            '{"rules": 1}',
            '{"rules": ["a.png"]}',
            '{"rules": [{"rule": "imageMogr2"}]}',
            '{"rules": [{"fileid": ""}]}',
            '{"rules": [{"fileid": 1}]}',
            '{"rules": [{"fileid": "a", "bucket": 1}]}',
            json.dumps({"rules": [{"fileid": "a"}] * 6}),
        ],
    )
    def test_malformed_pictures(self, world, error_code, text):
        """What is no list of rules is refused; a list is understood, and not served."""
        sound = json.dumps({"rules": [{"fileid": "a"}] * 5})
        assert error_code(world.send("PUT", "dir/a", headers={"Pic-Operations": text})) == "InvalidArgument"
        assert error_code(world.send("PUT", "dir/a", headers={"Pic-Operations": sound})) == "NotImplemented"

    def test_pictures_of_a_read(self, world):
        """Pic-Operations is read when an object is put, and then only."""
        world.send("PUT", "dir/a")
        key = world.federate(world.document("GetObject"))
        assert world.send("GET", "dir/a", by=key, headers={"Pic-Operations": "{"}).status_code == 200

    def test_deny_statement(self, world):
        """A deny wins over every allow."""
        document = world.document("PutObject")
        deny = world.document("PutObject", key="dir/secret*")["statement"][0] | {"effect": "deny"}
        document["statement"].append(deny)
        key = world.federate(document)
        assert verdict(world.send("PUT", "dir/a", by=key)) == "allowed"
        assert verdict(world.send("PUT", "dir/secret", by=key)) == "denied"

    def test_account_key(self, world):
        """The account's own key may do everything."""
        assert verdict(world.send("PUT", "anywhere")) == "allowed"

    def test_other_method(self, world, error_code):
        """COS knows five methods, and OPTIONS."""
        assert error_code(world.send("PATCH", "a")) == "MethodNotAllowed"


PUT, GET = ("PutObject", "PUT"), ("GetObject", "GET")
GRANTS = ("read", "write", "read-acp", "write-acp", "full-control")


@pytest.mark.parametrize(
    ("request_", "condition", "allowed", "denied"),
    [
        (
            PUT,
            {"numeric_less_than_equal": {"cos:content-length": 5}},
            {"body": b"12345"},
            {"body": b"123456"},
        ),
        (
            PUT,
            {"string_equal": {"cos:content-type": ["image/png", "image/jpeg"]}},
            {"headers": {"Content-Type": "image/jpeg"}},
            {"headers": {"Content-Type": "image/jpeg; charset=utf-8"}},
        ),
        (
            PUT,
            {"string_equal": {"cos:content-type": "image/png"}},
            {"headers": {"Content-Type": "image/png"}},
            {},
        ),
        (
            PUT,
            {"string_like": {"cos:content-type": "image/*"}},
            {"headers": {"Content-Type": "image/webp"}},
            {"headers": {"Content-Type": "text/html"}},
        ),
        (
            PUT,
            {"string_equal_if_exist": {"cos:x-cos-acl": "default"}},
            {"headers": {"x-cos-acl": "default"}},
            {"headers": {"x-cos-acl": "public-read"}},
        ),
        (PUT, {"string_equal_if_exist": {"cos:x-cos-acl": "default"}}, {}, {"headers": {"X-COS-ACL": "public-read"}}),
        *[
            (
                PUT,
                {"string_equal_if_exist": {f"cos:x-cos-grant-{name}": ""}},
                {},
                {"headers": {f"x-cos-grant-{name}": 'id="100000000001"'}},
            )
            for name in GRANTS
        ],
        (
            PUT,
            {"string_equal": {"cos:x-cos-storage-class": "STANDARD"}},
            {"headers": {"x-cos-storage-class": "STANDARD"}},
            {"headers": {"x-cos-storage-class": "ARCHIVE"}},
        ),
        (GET, {"string_equal_if_exist": {"cos:versionid": ""}}, {}, {"params": {"versionId": "MTg0NDY3"}}),
        (
            GET,
            {"string_equal": {"cos:versionid": "v1"}},
            {"params": {"versionId": "v1"}},
            {"params": {"VersionID": "v2"}},
        ),
        (
            GET,
            {"string_equal_if_exist": {"cos:response-content-type": "image%2Fpng"}},
            {"params": {"response-content-type": "image/png"}},
            {"params": {"response-content-type": "text/html"}},
        ),
        (GET, {"bool_equal": {"cos:secure-transport": "false"}}, {}, None),
        (GET, {"bool_equal": {"cos:secure-transport": "true"}}, None, {}),
        (GET, {"ip_equal": {"qcs:ip": ["127.0.0.0/8"]}}, {}, None),
        (GET, {"ip_equal": {"qcs:ip": ["203.0.113.0/24"]}}, None, {}),
        (GET, {"ip_not_equal": {"qcs:ip": "127.0.0.1"}}, None, {}),
        (GET, {"numeric_greater_than_equal": {"cos:tls-version": 1.2}}, None, {}),
        (GET, {"string_equal": {"cos:content-type": "image/png"}}, None, {"headers": {"Content-Type": "image/png"}}),
    ],
)
def test_condition(world, request_, condition, allowed, denied):
    """Each condition tests the real request: its values as they came, whether signed or not."""
    action, method = request_
    key = world.federate(world.document(action, condition=condition))
    for sent, expected in ((allowed, "allowed"), (denied, "denied")):
        if sent is not None:
            assert verdict(world.send(method, "dir/a", by=key, **sent)) == expected


def test_unsigned_header_is_tested(world):
    """A header that nobody signed cannot slip past a condition."""
    key = world.federate(world.document("PutObject", condition={"string_equal_if_exist": {"cos:x-cos-acl": "default"}}))
    assert verdict(world.send("PUT", "dir/a", by=key)) == "allowed"
    changed = {"headers": {"x-cos-acl": "public-read"}}
    assert verdict(world.send("PUT", "dir/a", by=key, changed=changed)) == "denied"


def test_listing_prefix(world):
    """cos:prefix compares URL-encoded; without a prefix a plain operator does not hold."""
    document = world.document("GetBucket", key="", condition={"string_equal": {"cos:prefix": "a%2F"}})
    key = world.federate(document)
    assert verdict(world.send("GET", "", by=key, params={"prefix": "a/"})) == "allowed"
    assert verdict(world.send("GET", "", by=key, params={"prefix": "b/"})) == "denied"
    assert verdict(world.send("GET", "", by=key)) == "denied"
