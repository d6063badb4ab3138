"""POST Object: the form's proof, its policy, the session policy, and what becomes of the file."""

import base64
import hashlib

import pytest

BUCKET = "examplebucket-1250000000"
HOST = f"{BUCKET}.cos.ap-guangzhou.myqcloud.com"
NOW = 1_700_000_000

# https://cloud.tencent.com/document/product/436/14690, "Signature protection"
OFFICIAL_ACCOUNT = ("AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q", "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz")
OFFICIAL_POLICY = b"""{
    "expiration": "2019-08-30T09:38:12.414Z",
    "conditions": [
        { "acl": "default" },
        { "bucket": "examplebucket-1250000000" },
        [ "starts-with", "$key", "folder/subfolder/" ],
        [ "starts-with", "$Content-Type", "image/" ],
        [ "starts-with", "$success_action_redirect", "https://my.website/" ],
        [ "eq", "$x-cos-server-side-encryption", "AES256" ],
        { "q-sign-algorithm": "sha1" },
        { "q-ak": "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q" },
        { "q-sign-time": "1567150692;1567157892" }
    ]
}"""
OFFICIAL_FORM = {
    "key": "folder/subfolder/${filename}",
    "acl": "default",
    "Content-Type": "image/jpeg",
    "success_action_redirect": "https://my.website/upload_success.html",
    "x-cos-server-side-encryption": "AES256",
    "policy": base64.b64encode(OFFICIAL_POLICY).decode(),
    "q-sign-algorithm": "sha1",
    "q-ak": "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q",
    "q-key-time": "1567150692;1567157892",
    "q-signature": "7758dc9a832e9d301dca704cacbf9d9f8172fdef",
}
OTHER_ACCOUNT = ("AKIDEXAMPLE0000000000000000000000000", "SKEXAMPLE00000000000000000000000")
OTHER_POLICY = (
    b'{"expiration":"2023-11-14T22:18:20.000Z","conditions":[{"q-sign-algorithm":"sha1"},'
    b'{"q-ak":"AKIDEXAMPLE0000000000000000000000000"},{"q-sign-time":"1699999940;1700000300"},'
    b'{"bucket":"examplebucket-1250000000"},["starts-with","$key","dir/"],["content-length-range",1,5242880]]}'
)
OTHER_FORM = {
    "key": "dir/a.txt",
    "policy": base64.b64encode(OTHER_POLICY).decode(),
    "q-sign-algorithm": "sha1",
    "q-ak": "AKIDEXAMPLE0000000000000000000000000",
    "q-key-time": "1699999940;1700000300",
    "q-signature": "24a29423459cd84fd2b42284feb6a18e8dc06385",
}


class TestVectors:
    """Signatures that others have made."""

    def test_official(self, make_world):
        """The form of the vendor's documentation is taken, and its redirect is the documented one."""
        world = make_world(OFFICIAL_ACCOUNT, 1567150692)
        response = world.post(OFFICIAL_FORM, filename="photo.jpg")
        assert (response.status_code, response.data) == (303, b"")
        assert response.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
        assert response.headers["Location"] == (
            "https://my.website/upload_success.html?bucket=examplebucket-1250000000"
            "&key=folder%2Fsubfolder%2Fphoto.jpg&etag=%225d41402abc4b2a76b9719d911017c592%22"
        )
        got = world.send("GET", "folder/subfolder/photo.jpg")
        assert (got.data, got.headers["Content-Type"]) == (b"hello", "image/jpeg")

    def test_other(self, make_world):
        """So is a form whose policy is written as programs write it."""
        world = make_world(OTHER_ACCOUNT)
        response = world.post(OTHER_FORM)
        assert (response.status_code, response.data) == (204, b"")
        assert response.headers["Location"] == f"http://{HOST}/dir/a.txt"

    @pytest.mark.parametrize(
        ("account", "now", "form", "policy", "digest"),
        [
            (OFFICIAL_ACCOUNT, 1567150692, OFFICIAL_FORM, OFFICIAL_POLICY, "d5d903b8360468bc81c1311f134989bc8c8b5b89"),
            (OTHER_ACCOUNT, NOW, OTHER_FORM, OTHER_POLICY, "e8c7818c558a0a837cfe8c20a2039a9da969ab48"),
        ],
    )
    def test_changed(self, make_world, error_code, account, now, form, policy, digest):
        """One space more in the policy, or a wrong signature, is no signature; the answer has the server's text."""
        world = make_world(account, now)
        wrong = world.post(form | {"q-signature": "0" * 40})
        assert (wrong.status_code, error_code(wrong)) == (403, "SignatureDoesNotMatch")
        assert f"<StringToSign>{digest}</StringToSign>".encode() in wrong.data
        changed = world.post(form | {"policy": base64.b64encode(policy + b" ").decode()})
        assert error_code(changed) == "SignatureDoesNotMatch"


class TestProof:
    """Who signed, and until when."""

    @pytest.mark.parametrize(
        ("changed", "status", "code"),
        [
            ({"policy": None}, 403, "AccessDenied"),
            ({"policy": None, "q-signature": None}, 403, "AccessDenied"),
            ({"q-signature": None}, 400, "InvalidArgument"),
            ({"q-ak": None}, 400, "InvalidArgument"),
            ({"q-key-time": None}, 400, "InvalidArgument"),
            ({"q-sign-algorithm": None}, 400, "InvalidArgument"),
            ({"q-sign-algorithm": "sha256"}, 400, "InvalidArgument"),
            ({"q-ak": "AKIDUNKNOWN"}, 403, "InvalidAccessKeyId"),
            ({"q-key-time": "1699999940;1700000301"}, 403, "SignatureDoesNotMatch"),
            ({"q-key-time": "now"}, 400, "InvalidArgument"),
            ({"q-signature": "ü"}, 403, "SignatureDoesNotMatch"),
            ({"policy": "not base64!"}, 400, "InvalidPolicyDocument"),
            ({"policy": "ü"}, 400, "InvalidPolicyDocument"),
            ({"policy": ""}, 403, "SignatureDoesNotMatch"),
        ],
    )
    def test_fields(self, world, error_code, changed, status, code):
        """Each field of the proof is needed, and what one of them would be wrong with is told."""
        sound = world.form()
        fields = {name: value for name, value in (sound | changed).items() if value is not None}
        response = world.post(fields)
        assert (response.status_code, error_code(response)) == (status, code)
        assert world.send("HEAD", "dir/a").status_code == 404
        assert world.post(sound).status_code == 204

    def test_ordinary_signature(self, world, error_code):
        """The signature of other requests opens no form: neither in a header nor beside one in the body."""
        response = world.post({"key": "dir/a"}, headers={"Authorization": "q-sign-algorithm=sha1"})
        assert error_code(response) == "AccessDenied"
        signed = {"Host": HOST}
        window = (NOW - 60, NOW + 300)
        authorization = world.sign(world.account, "POST", "", signed, {}, window)
        response = world.post({"key": "dir/a"}, headers={"Authorization": authorization})
        assert error_code(response) == "AccessDenied"

    @pytest.mark.parametrize(("now", "allowed"), [
        (NOW - 61, False), (NOW - 60, True), (NOW + 300, True), (NOW + 301, False),
    ])  # fmt: skip
    def test_window(self, world, clock, message, now, allowed):
        """The window of q-key-time counts, both ends included."""
        form = world.form(expiration="2030-01-01T00:00:00Z")
        clock.now = now
        response = world.post(form)
        assert response.status_code == (204 if allowed else 403)
        assert allowed or message(response) == "Request has expired"

    @pytest.mark.parametrize(("now", "allowed"), [(NOW + 299, True), (NOW + 300, False)])
    def test_expiration(self, world, clock, message, now, allowed):
        """The policy's expiration counts too, and must be later than now."""
        form = world.form(window=(NOW, NOW + 9_000))
        clock.now = now
        response = world.post(form)
        assert response.status_code == (204 if allowed else 403)
        times = "expiration time: 1700000300 but the time now : 1700000300"
        assert allowed or message(response) == f"You post object request has been expired, {times}"

    @pytest.mark.parametrize(
        "expiration",
        ["", "tomorrow", "2023-11-14", "2023-11-14T22:18:20", "2023-11-14T22:18:20+08:00", "2023-13-14T22:18:20Z"],
    )
    def test_no_instant(self, world, error_code, expiration):
        """An expiration that is no instant in UTC is refused."""
        assert error_code(world.post(world.form(expiration=expiration))) == "InvalidPolicyDocument"
        assert world.post(world.form(expiration="2023-11-14T22:18:20Z")).status_code == 204

    def test_token(self, world, clock, error_code):
        """A temporary key needs its own token, in the form, and ends when STS said."""
        key, other = (world.federate(world.document("PostObject"), seconds=200) for _ in range(2))
        form = world.form(by=key)
        assert world.post(form).status_code == 204
        without = {name: value for name, value in form.items() if name != "x-cos-security-token"}
        for refused in (without, form | {"x-cos-security-token": other.token}, form | {"x-cos-security-token": ""}):
            assert error_code(world.post(refused)) == "InvalidAccessKeyId"
        assert error_code(world.post(without, headers={"x-cos-security-token": key.token})) == "InvalidAccessKeyId"
        clock.tick(199)
        assert world.post(form).status_code == 204
        clock.tick(1)
        assert error_code(world.post(form)) == "InvalidAccessKeyId"


class TestConditions:
    """What the policy says of the form."""

    @pytest.mark.parametrize(
        ("condition", "fields", "twin"),
        [
            ({"key": "dir/a"}, {}, {"key": "dir/b"}),
            (["eq", "$key", "dir/a"], {}, {"key": "dir/A"}),
            (["starts-with", "$key", "dir/"], {}, {"key": "dirs/a"}),
            (["starts-with", "$key", "dir/a"], {"key": "dir/a"}, {"key": "dir/"}),
            (["starts-with", "$Content-Type", "image/"], {"Content-Type": "image/png"}, {"Content-Type": "text/html"}),
            (["starts-with", "$Content-Type", ""], {"Content-Type": ""}, {}),
            ({"acl": "default"}, {"acl": "default"}, {"acl": "public-read"}),
            ({"acl": "default"}, {"acl": "default"}, {}),
            ({"Content-Type": "image/png"}, {"content-type": "image/png"}, {"content-type": "image/png2"}),
            ({"x-cos-meta-owner": "u1"}, {"x-cos-meta-owner": "u1"}, {"x-cos-meta-owner": "u2"}),
            (["starts-with", "$x-cos-meta-owner", "u"], {"x-cos-meta-owner": "u1"}, {"x-cos-meta-owner": "v"}),
            (
                ["eq", "$success_action_status", "200"],
                {"success_action_status": "200"},
                {"success_action_status": "201"},
            ),
            (
                {"x-cos-storage-class": "STANDARD"},
                {"x-cos-storage-class": "STANDARD"},
                {"x-cos-storage-class": "ARCHIVE"},
            ),
        ],
    )
    def test_field(self, world, message, condition, fields, twin):
        """A field is what its condition says, or begins so, or the form is refused; without it, too."""
        assert world.post(world.form(condition, **fields)).status_code in (200, 204)
        response = world.post(world.form(condition, **twin))
        name, value = next(iter(condition.items())) if isinstance(condition, dict) else (condition[1][1:], condition[2])
        assert response.status_code == 403
        assert message(response) == f"Condition key {name} doesn't match the value {value}"

    def test_bucket(self, world, message):
        """A bucket that is named is the Host's; no field says it."""
        assert world.post(world.form({"bucket": BUCKET})).status_code == 204
        response = world.post(world.form({"bucket": "other-1250000000"}, bucket="other-1250000000"))
        assert message(response) == "Condition key bucket doesn't match the value other-1250000000"

    def test_proof(self, world, error_code):
        """The policy must repeat who signed it, how and when; and it must be right."""
        conditions = [{"q-sign-algorithm": "sha1"}, {"q-ak": "AKIDEXAMPLE"}, {"q-sign-time": "1699999940;1700000300"}]
        wrong = [{"q-sign-algorithm": "sha256"}, {"q-ak": "AKIDOTHER"}, {"q-sign-time": "1699999940;1700000301"}]
        assert world.post(world.form(policy=_policy(conditions))).status_code == 204
        for index in range(3):
            rest = conditions[:index] + conditions[index + 1 :]
            assert error_code(world.post(world.form(policy=_policy(rest)))) == "InvalidPolicyDocument"
            assert error_code(world.post(world.form(policy=_policy([*rest, wrong[index]])))) == "AccessDenied"

    @pytest.mark.parametrize(
        ("least", "most", "size", "code"),
        [
            (5, 10, 4, "EntityTooSmall"),
            (5, 10, 5, None),
            (5, 10, 10, None),
            (5, 10, 11, "EntityTooLarge"),
            (0, 0, 0, None),
            (1, 1, 0, "EntityTooSmall"),
        ],
    )
    def test_size(self, world, error_code, least, most, size, code):
        """content-length-range counts the bytes of the file alone, both ends included."""
        response = world.post(world.form(["content-length-range", least, most], Padding="x" * 100), b"x" * size)
        assert response.status_code == (400 if code else 204)
        assert code is None or error_code(response) == code

    def test_all(self, world, error_code):
        """Every condition must hold, also two on one field."""
        conditions = [["starts-with", "$key", "dir/"], ["starts-with", "$key", "dir/a"]]
        assert world.post(world.form(*conditions)).status_code == 204
        assert error_code(world.post(world.form(*conditions, key="dir/b"))) == "AccessDenied"

    def test_unconstrained(self, world):
        """A field that no condition names is taken, as in the vendor's samples, which do not constrain the key."""
        form = world.form(**{"key": "anywhere", "x-cos-meta-a": "b", "Content-Type": "image/png", "unknown": "x"})
        assert world.post(form).status_code == 204
        assert world.send("GET", "anywhere").headers["x-cos-meta-a"] == "b"

    @pytest.mark.parametrize(
        "policy",
        [
            b"",
            b"{",
            b"[]",
            b"\xff",
            b"[" * 100_000,
            b"{}",
            b'{"expiration":"2023-11-14T22:18:20Z"}',
            b'{"expiration":"2023-11-14T22:18:20Z","conditions":[]}',
            b'{"expiration":"2023-11-14T22:18:20Z","conditions":{}}',
            b'{"expiration":1700000300,"conditions":[{"q-ak":"a"}]}',
            b'{"conditions":[{"q-ak":"a"}]}',
        ],
    )
    def test_no_policy(self, world, error_code, policy):
        """What is no object with an expiration and conditions is no policy."""
        response = world.post(world.form(policy=policy))
        assert (response.status_code, error_code(response)) == (400, "InvalidPolicyDocument")

    @pytest.mark.parametrize(
        "condition",
        [
            {},
            {"key": "dir/a", "acl": "default"},
            {"key": 1},
            {"": "x"},
            [],
            "key",
            None,
            ["eq", "key", "dir/a"],
            ["eq", "$key"],
            ["eq", "$key", None],
            ["eq", "$", ""],
            ["ends-with", "$key", "a"],
            ["starts-with", "$bucket", "example"],
            ["starts-with", "$q-ak", "AKID"],
            ["starts-with", "$success_action_status", "20"],
            ["starts-with", "$x-cos-storage-class", "STANDARD"],
            ["content-length-range", 1],
            ["content-length-range", "1", "5"],
            ["content-length-range", 5, 1],
            ["content-length-range", -1, 5],
            ["content-length-range", True, 5],
            ["content-length-range", 1.0, 5],
        ],
    )
    def test_unreadable(self, world, error_code, condition):
        """A condition of another shape is refused, never skipped; prefixes are for the documented fields."""
        response = world.post(world.form(condition))
        assert (response.status_code, error_code(response)) == (400, "InvalidPolicyDocument")


def _policy(conditions):
    text = repr(conditions).replace("'", '"')
    return f'{{"expiration":"2023-11-14T22:18:20Z","conditions":{text}}}'.encode()


class TestSession:
    """What the session policy says of a form."""

    @pytest.mark.parametrize(
        ("action", "key", "allowed"),
        [
            ("PostObject", "dir/a", True),
            ("PostObject", "dir/x/y", True),
            ("PostObject", "other/a", False),
            ("PostObject", "dir", False),
            ("PutObject", "dir/a", False),
        ],
    )
    def test_key(self, world, error_code, action, key, allowed):
        """A form needs PostObject on the key that it names, however well it is signed."""
        response = world.post(world.form(by=world.federate(world.document(action)), key=key))
        assert response.status_code == (204 if allowed else 403)
        assert allowed or error_code(response) == "AccessDenied"
        assert world.emulator.stats()["cos"] == {"PostObject": 1}

    def test_expanded_key(self, world):
        """The key that is judged has the file's name in it."""
        key = world.federate(world.document("PostObject", key="dir/a.png"))
        form = world.form(by=key, key="dir/${filename}")
        assert world.post(form, filename="a.png").status_code == 204
        assert world.post(form, filename="b.png").status_code == 403

    def test_length(self, world):
        """cos:content-length is the whole request's, not the file's."""

        def posted(limit):
            condition = {"numeric_less_than_equal": {"cos:content-length": limit}}
            key = world.federate(world.document("PostObject", condition=condition))
            return world.post(world.form(by=key)).status_code

        assert (posted(5), posted(5_000)) == (403, 204)

    @pytest.mark.parametrize(
        ("condition", "allowed"),
        [
            ({"string_like": {"cos:content-type": "multipart/form-data*"}}, True),
            ({"string_like": {"cos:content-type": "image/*"}}, False),
            ({"string_equal_if_exist": {"cos:x-cos-acl": "default"}}, True),
            ({"string_equal": {"cos:x-cos-acl": "public-read"}}, False),
        ],
    )
    def test_values(self, world, condition, allowed):
        """Conditions test the request and its headers, not the form's fields."""
        key = world.federate(world.document("PostObject", condition=condition))
        form = world.form(by=key, acl="public-read", **{"Content-Type": "image/png"})
        assert world.post(form).status_code == (204 if allowed else 403)

    def test_key_length(self, world, error_code):
        """A key has at most 850 bytes here, too."""
        assert world.post(world.form(key="ü" * 425)).status_code == 204
        assert error_code(world.post(world.form(key="ü" * 425 + "x"))) == "KeyTooLong"


class TestAnswer:
    """What the form asks to be told."""

    @pytest.mark.parametrize(("asked", "status"), [({}, 204), ({"success_action_status": "204"}, 204),
                                                   ({"success_action_status": "200"}, 200)])  # fmt: skip
    def test_status(self, world, asked, status):
        """The status asked for, else 204, with nothing but headers."""
        response = world.post(world.form(key="目录/a b", **asked))
        assert (response.status_code, response.data) == (status, b"")
        assert response.headers["Location"] == f"http://{HOST}/%E7%9B%AE%E5%BD%95/a%20b"
        assert response.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
        assert "Content-Type" not in response.headers

    def test_created(self, world):
        """201 comes with what was made."""
        response = world.post(world.form(success_action_status="201"))
        assert (response.status_code, response.headers["Content-Type"]) == (201, "application/xml")
        assert response.data.decode() == (
            "<?xml version='1.0' encoding='utf-8' ?>\n<PostResponse>\n"
            f"\t<Location>http://{HOST}/dir/a</Location>\n\t<Bucket>{BUCKET}</Bucket>\n\t<Key>dir/a</Key>\n"
            '\t<ETag>"5d41402abc4b2a76b9719d911017c592"</ETag>\n</PostResponse>\n'
        )

    @pytest.mark.parametrize(
        ("asked", "location"),
        [
            ("https://my.website/", "https://my.website/?"),
            ("http://my.website/?a=b", "http://my.website/?a=b&"),
            ("https://my.website/#top", "https://my.website/?"),
        ],
    )
    def test_redirect(self, world, asked, location):
        """A redirect wins over a status, and says which object it was."""
        response = world.post(world.form(success_action_redirect=asked, success_action_status="200"))
        assert response.status_code == 303
        told = f"bucket={BUCKET}&key=dir%2Fa&etag=%225d41402abc4b2a76b9719d911017c592%22"
        assert response.headers["Location"] == location + told + ("#top" if "#" in asked else "")

    @pytest.mark.parametrize(
        "fields",
        [
            {"success_action_status": "302"},
            {"success_action_status": ""},
            {"success_action_redirect": "javascript:alert(1)"},
            {"success_action_redirect": "https://"},
            {"success_action_redirect": "https://["},
            {"success_action_redirect": "https://my.website/\r\nSet-Cookie: a=b"},
            {"Content-Type": "image/png\r\nSet-Cookie: a=b"},
            {"x-cos-meta-a": "b\x00"},
        ],
    )
    def test_unanswerable(self, world, error_code, fields):
        """An answer that cannot be given is refused before anything is stored."""
        assert error_code(world.post(world.form(**fields))) == "InvalidArgument"
        assert world.send("HEAD", "dir/a").status_code == 404

    def test_page(self, world):
        """A page may read the answer, as of a PUT."""
        response = world.post(world.form(), headers={"Origin": "https://my.website"})
        assert response.headers["Access-Control-Allow-Origin"] == "https://my.website"


class TestStored:
    """What is kept of a form."""

    def test_headers(self, world):
        """The documented fields and the metadata; the type of the file's own part counts for nothing."""
        kept = {
            "Content-Type": "image/png",
            "Cache-Control": "no-store",
            "Content-Disposition": "attachment",
            "Content-Encoding": "gzip",
            "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
            "x-cos-meta-author": "u1",
        }
        assert world.post(world.form(**kept, acl="public-read", **{"Content-Language": "zh-CN"})).status_code == 204
        got = world.send("GET", "dir/a")
        assert {name: got.headers[name] for name in kept} == kept
        assert "Content-Language" not in got.headers
        world.post(world.form())
        assert world.send("GET", "dir/a").headers["Content-Type"] == "application/octet-stream"

    @pytest.mark.parametrize("file", [b"", b"\r\n--X\r\n", b"\r\n--XXX\r\n--XX\x00", bytes(range(256)) * 999])
    def test_bytes(self, world, file):
        """The file is stored byte for byte, also what resembles a boundary."""
        assert world.post(world.form(), file).status_code == 204
        assert world.send("GET", "dir/a").data == file

    @pytest.mark.parametrize(
        ("declared", "code"),
        [
            (base64.b64encode(hashlib.md5(b"hello").digest()).decode(), None),
            (base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"),
            ("x", "InvalidDigest"),
        ],
    )
    def test_md5(self, world, error_code, declared, code):
        """The field Content-MD5 is the file's."""
        response = world.post(world.form(**{"Content-MD5": declared}))
        assert response.status_code == (400 if code else 204)
        assert code is None or error_code(response) == code

    def test_overwriting(self, world):
        """A form overwrites; x-cos-forbid-overwrite is no field of a form."""
        world.send("PUT", "dir/a", body=b"first")
        assert world.post(world.form(**{"x-cos-forbid-overwrite": "true"})).status_code == 204
        assert world.send("GET", "dir/a").data == b"hello"

    @pytest.mark.parametrize(
        ("key", "filename", "expected"),
        [
            ("dir/${filename}", "photo.jpg", "dir/photo.jpg"),
            ("${filename}/${filename}", "目录", "目录/目录"),
            ("dir/${filename}", "../x", "dir/../x"),
            ("dir/${filename}", "", "dir/"),
            ("dir/$filename", "photo.jpg", "dir/$filename"),
        ],
    )
    def test_filename(self, world, key, filename, expected):
        """${filename} in the key is the file's name, and the policy is held against what comes out."""
        condition = ["eq", "$key", expected]
        assert world.post(world.form(condition, key=key), filename=filename).status_code == 204
        assert world.send("GET", expected).data == b"hello"

    def test_restart(self, make_world, tmp_path):
        """It survives as other objects do."""
        first = make_world(data_dir=tmp_path)
        first.post(first.form())
        assert make_world(data_dir=tmp_path).send("GET", "dir/a").data == b"hello"
