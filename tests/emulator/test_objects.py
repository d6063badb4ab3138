"""What is kept of an object and given back: through HTTP, and on disk."""

import base64
import hashlib

import pytest

from broker.emulator.objects import Objects, Stored, simple_etag
from broker.errors import ConfigurationError

BUCKET = "examplebucket-1250000000"


class TestPut:
    """PUT."""

    def test_metadata(self, world):
        """What COS keeps with an object comes back with it; other headers do not."""
        kept = {
            "Content-Type": "image/png",
            "Cache-Control": "no-store",
            "Content-Disposition": "attachment",
            "Content-Encoding": "gzip",
            "Content-Language": "zh-CN",
            "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
            "x-cos-meta-author": "u1",
        }
        put = world.send("PUT", "a", body=b"hello", headers=kept | {"X-Other": "x"})
        got = world.send("GET", "a")
        assert put.headers["ETag"] == got.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
        assert {name: got.headers[name] for name in kept} == kept
        assert got.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        assert "X-Other" not in got.headers
        assert got.headers["x-cos-request-id"] != put.headers["x-cos-request-id"]

    def test_no_type(self, world):
        """Without a type it is octets, and no charset is made up for one."""
        world.send("PUT", "a")
        assert world.send("GET", "a").headers["Content-Type"] == "application/octet-stream"
        world.send("PUT", "a", headers={"Content-Type": "text/html"})
        assert world.send("GET", "a").headers["Content-Type"] == "text/html"

    def test_metadata_beyond_ascii(self, world):
        """UTF-8 in a header is signed and kept as the bytes it was."""
        sent = "目录".encode().decode("latin-1")
        response = world.http.put("/a", headers={**_signed(world, "目录"), "x-cos-meta-name": sent}, data=b"x")
        assert response.status_code == 200
        assert world.send("GET", "a").headers["x-cos-meta-name"] == sent

    @pytest.mark.parametrize(("header", "exists", "expected"), [
        ("true", True, "FileAlreadyExists"),
        ("true", False, None),
        ("false", True, None),
        (None, True, None),
    ])  # fmt: skip
    def test_forbid_overwrite(self, world, header, exists, expected, error_code):
        """`x-cos-forbid-overwrite: true` refuses with 409 what exists, and nothing else."""
        if exists:
            world.send("PUT", "a", body=b"first")
        response = world.send("PUT", "a", body=b"second", headers={"x-cos-forbid-overwrite": header} if header else {})
        assert response.status_code == (409 if expected else 200)
        assert world.send("GET", "a").data == (b"first" if expected else b"second")
        if expected:
            assert error_code(response) == expected

    @pytest.mark.parametrize(
        ("declared", "expected"),
        [
            (base64.b64encode(hashlib.md5(b"hello").digest()).decode(), None),
            (base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"),
            ("5d41402abc4b2a76b9719d911017c592", "InvalidDigest"),
            ("not base64!", "InvalidDigest"),
        ],
    )
    def test_md5(self, world, declared, expected, error_code):
        """A declared digest is checked, and nothing is stored if it is wrong."""
        response = world.send("PUT", "a", body=b"hello", headers={"Content-MD5": declared})
        if expected:
            assert (response.status_code, error_code(response)) == (400, expected)
        assert world.send("HEAD", "a").status_code == (404 if expected else 200)

    @pytest.mark.parametrize(("length", "status"), [(850, 200), (851, 400)])
    def test_key_length(self, world, length, status):
        """A key has at most 850 bytes."""
        assert world.send("PUT", "ü" * 425 + "x" * (length - 850)).status_code == status

    def test_key_not_utf8(self, world, error_code):
        """A key that is no UTF-8 has no name in a signature."""
        response = world.http.get("/%ff", headers={"Host": f"{BUCKET}.localhost"})
        assert error_code(response) == "InvalidURI"

    def test_no_length(self, world, error_code):
        """A PUT needs a Content-Length."""
        assert error_code(world.http.put("/a", headers=_signed(world))) == "MissingContentLength"

    def test_too_large(self, world, error_code):
        """Five GiB in one piece, and not a byte more; the body is not waited for."""
        response = world.send("PUT", "a", headers={"Content-Length": str(5 * 1024**3 + 1)})
        assert error_code(response) == "EntityTooLarge"


def _signed(world, name=None):
    host = f"{BUCKET}.cos.ap-guangzhou.myqcloud.com"
    signed = {"Host": host} | ({"x-cos-meta-name": name} if name else {})
    now = world.clock.now
    return {"Host": host, "Authorization": world.sign(world.account, "PUT", "a", signed, {}, (now, now))}


class TestGet:
    """GET and HEAD."""

    @pytest.mark.parametrize(
        ("asked", "status", "body", "content_range"),
        [
            (None, 200, b"0123456789", None),
            ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
            ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=10-", 416, None, "bytes */10"),
            ("bytes=0-1,4-5", 200, b"0123456789", None),
            ("bytes=4-2", 200, b"0123456789", None),
            ("rows=1-2", 200, b"0123456789", None),
        ],
    )
    def test_range(self, world, asked, status, body, content_range):
        """One range is served, a range beyond the end refused, anything else answered whole."""
        world.send("PUT", "a", body=b"0123456789")
        response = world.send("GET", "a", headers={"Range": asked} if asked else {})
        assert response.status_code == status
        assert response.headers.get("Content-Range") == content_range
        assert b"InvalidRange" in response.data if body is None else response.data == body

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"If-Match": '"5d41402abc4b2a76b9719d911017c592"'}, 200),
            ({"If-Match": '"other"'}, 412),
            ({"If-None-Match": '"other"'}, 200),
            ({"If-None-Match": '"5d41402abc4b2a76b9719d911017c592"'}, 304),
            ({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 200),
            ({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 304),
            ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 200),
            ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 412),
        ],
    )
    def test_preconditions(self, world, method, headers, status):
        """The four preconditions, each with its twin one second or one ETag away."""
        world.send("PUT", "a", body=b"hello")
        response = world.send(method, "a", headers=headers)
        assert response.status_code == status
        assert (response.data == b"hello") == (method == "GET" and status == 200)

    def test_overrides(self, world):
        """`response-*` parameters replace what was kept."""
        world.send("PUT", "a", headers={"Content-Type": "text/html", "Cache-Control": "no-store"})
        params = {"response-content-type": "image/png", "Response-Content-Disposition": 'attachment; filename="测.png"'}
        got = world.send("GET", "a", params=params)
        assert got.headers["Content-Type"] == "image/png"
        assert got.headers["Cache-Control"] == "no-store"
        assert got.headers["Content-Disposition"].encode("latin-1").decode() == 'attachment; filename="测.png"'

    def test_override_with_line_break(self, world, error_code):
        """A parameter cannot add headers."""
        world.send("PUT", "a")
        response = world.send("GET", "a", params={"response-content-type": "a/b\r\nSet-Cookie: x=1"})
        assert error_code(response) == "InvalidArgument"

    def test_head(self, world):
        """HEAD says what GET would, without a body, refusals included."""
        world.send("PUT", "a", body=b"hello", headers={"Content-Type": "image/png"})
        found, missing = world.send("HEAD", "a"), world.send("HEAD", "b")
        assert (found.status_code, found.headers["Content-Length"], found.data) == (200, "5", b"")
        assert (missing.status_code, missing.data) == (404, b"")
        assert missing.headers["x-cos-request-id"]

    @pytest.mark.parametrize(("version", "status"), [("", 200), ("null", 200), ("MTg0NDY3NDI1OTg3OTU5OTg4NTE", 404)])
    def test_version(self, world, version, status):
        """There is one version, without a name."""
        world.send("PUT", "a")
        assert world.send("GET", "a", params={"versionId": version}).status_code == status

    def test_error(self, world):
        """A refusal is the XML that SDKs parse, with all its elements; characters that XML lacks do no harm."""
        response = world.send("GET", "a<\x01>&")
        text = response.data.decode()
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/xml")
        assert text.startswith("<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>NoSuchKey</Code>")
        request_id = response.headers["x-cos-request-id"]
        assert f"<RequestId>{request_id}</RequestId>" in text
        assert "<Message>The specified key does not exist.</Message>" in text
        assert "<Resource>examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com/a%3C%01%3E%26</Resource>" in text
        assert "<TraceId>" in text


def test_delete(world):
    """An object is gone after DELETE, and deleting nothing is no error; another version is not there to delete."""
    world.send("PUT", "a")
    assert world.send("DELETE", "a", params={"versionId": "v1"}).status_code == 404
    assert world.send("HEAD", "a").status_code == 200
    assert world.send("DELETE", "a").status_code == 204
    assert world.send("HEAD", "a").status_code == 404
    assert world.send("DELETE", "a").status_code == 204


class TestFolder:
    """--data DIR."""

    def test_restart(self, make_world, tmp_path):
        """Objects, their headers and their bucket survive a restart."""
        first = make_world(data_dir=tmp_path)
        first.send("PUT", "../../目录/a", body=b"hello", headers={"x-cos-meta-a": "b"})
        first.send("PUT", "gone", body=b"x")
        first.send("DELETE", "gone")
        second = make_world(data_dir=tmp_path)
        got = second.send("GET", "../../目录/a", host="127.0.0.1:9000")
        assert (got.data, got.headers["x-cos-meta-a"]) == (b"hello", "b")
        assert second.send("GET", "gone").status_code == 404

    def test_names(self, make_world, tmp_path):
        """No part of a key becomes part of a path."""
        make_world(data_dir=tmp_path / "data").send("PUT", "../../escape/" + "x" * 800, body=b"x")
        (written,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert written.parent == tmp_path / "data" / BUCKET
        assert len(written.name) == 64 + len(".object")

    def test_write_that_fails(self, tmp_path):
        """An object that cannot be written leaves the old one, and no rest of itself."""
        objects = Objects(tmp_path)
        assert objects.put(BUCKET, "a", Stored(b"old", {}, 1, simple_etag(b"old")), overwrite=True)
        with pytest.raises(TypeError):
            objects.put(BUCKET, "a", Stored(b"new", {"x": object()}, 2, ""), overwrite=True)
        assert Objects(tmp_path).find(BUCKET, "a") == Stored(b"old", {}, 1, simple_etag(b"old"))
        assert len(list(tmp_path.rglob("*.*"))) == 1

    def test_foreign_file(self, tmp_path):
        """A file that the emulator did not write is named, not guessed at."""
        (tmp_path / BUCKET).mkdir()
        (tmp_path / BUCKET / "x.object").write_text("hello\n")
        with pytest.raises(ConfigurationError, match=r"x\.object"):
            Objects(tmp_path)
