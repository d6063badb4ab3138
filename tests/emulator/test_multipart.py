"""Multipart uploads: begun, filled, listed, completed, aborted; in memory and on disk."""

import base64
import hashlib
import http.client
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from broker.emulator.objects import Stored, simple_etag
from broker.emulator.uploads import Uploads

BUCKET = "examplebucket-1250000000"
HOST = f"{BUCKET}.cos.ap-guangzhou.myqcloud.com"
MIB = 1024**2
ONE, TWO = b"1" * MIB, b"2" * 10


class Multipart:
    """One upload, as its caller drives it."""

    def __init__(self, world, key="dir/a", **more):
        response = world.send("POST", key, params={"uploads": ""}, **more)
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/xml")
        self.world, self.key = world, key
        self.id = ElementTree.fromstring(response.data).findtext("UploadId")

    def put(self, number, body, **more):
        """Send a part."""
        return self.world.send("PUT", self.key, params=self.params(partNumber=str(number)), body=body, **more)

    def complete(self, *parts, **more):
        """Name the parts, each (number, ETag)."""
        inner = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
        return self.complete_raw(f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode(), **more)

    def complete_raw(self, body, **more):
        """Complete with any body."""
        return self.world.send("POST", self.key, params=self.params(), body=body, **more)

    def list(self, **params):
        """The parts, as XML."""
        return self.world.send("GET", self.key, params=self.params(**params))

    def abort(self):
        """Give up."""
        return self.world.send("DELETE", self.key, params=self.params())

    def params(self, **more):
        """What names the upload, and more."""
        return {"uploadId": self.id, **more}


def etag(body):
    """The ETag of a part."""
    return f'"{hashlib.md5(body).hexdigest()}"'


def numbers(response):
    """The part numbers of a listing."""
    return [int(found.text) for found in ElementTree.fromstring(response.data).iter("PartNumber")]


class TestUpload:
    """From the first request to the object."""

    def test_whole(self, world):
        """The parts in their order make the object, with the first request's headers and an ETag of its own."""
        kept = {"Content-Type": "video/mp4", "x-cos-meta-a": "b", "Cache-Control": "no-store"}
        upload = Multipart(world, "目录/a b", headers=kept)
        assert upload.put(20, TWO, headers={"Content-Type": "text/html"}).headers["ETag"] == etag(TWO)
        assert upload.put(3, ONE).headers["ETag"] == etag(ONE)
        assert world.send("HEAD", "目录/a b").status_code == 404
        response = upload.complete((3, etag(ONE)), (20, etag(TWO)))
        assert response.data.decode() == (
            "<?xml version='1.0' encoding='utf-8' ?>\n<CompleteMultipartUploadResult>\n"
            f"\t<Location>http://{HOST}/%E7%9B%AE%E5%BD%95/a%20b</Location>\n\t<Bucket>{BUCKET}</Bucket>\n"
            '\t<Key>目录/a b</Key>\n\t<ETag>"74b3d5c47c1a5610f0b47f6a418fc910-2"</ETag>\n'
            "</CompleteMultipartUploadResult>\n"
        )
        got = world.send("GET", "目录/a b")
        assert got.data == ONE + TWO
        assert got.headers["ETag"] == '"74b3d5c47c1a5610f0b47f6a418fc910-2"'
        assert {name: got.headers[name] for name in kept} == kept

    def test_again(self, world):
        """A part that comes again replaces the first; parts that are not named are left out."""
        upload = Multipart(world)
        for number, body in ((1, b"old"), (2, b"unnamed"), (1, b"new")):
            upload.put(number, body)
        assert numbers(upload.list()) == [1, 2]
        assert upload.complete((1, etag(b"new"))).status_code == 200
        assert world.send("GET", "dir/a").data == b"new"

    def test_bare_etag(self, world):
        """An ETag may be named without its quotes, and the document may have COS's namespace."""
        upload = Multipart(world)
        upload.put(1, TWO)
        part = f"<Part>\n<ETag> {etag(TWO)[1:-1]} </ETag><PartNumber>1</PartNumber></Part>"
        body = f'<CompleteMultipartUpload xmlns="http://www.qcloud.com/document/product/436/7751">{part}'
        assert upload.complete_raw(f"{body}</CompleteMultipartUpload>".encode()).status_code == 200

    @pytest.mark.parametrize(
        ("parts", "code"),
        [
            ([(1, ONE), (2, TWO)], None),
            ([(1, ONE)], None),
            ([(2, TWO)], None),
            ([(2, TWO), (1, ONE)], "InvalidPartOrder"),
            ([(1, ONE), (1, ONE)], "InvalidPartOrder"),
            ([(1, ONE), (4, TWO)], "InvalidPart"),
            ([(1, TWO)], "InvalidPart"),
            ([(0, ONE)], "InvalidPart"),
            ([(3, b"3" * (MIB - 1)), (4, TWO)], "InvalidPart"),
        ],
    )
    def test_parts(self, world, error_code, parts, code):
        """Named parts ascend, exist, and have the ETags that they were given; a refusal leaves the upload."""
        upload = Multipart(world)
        upload.put(1, ONE)
        upload.put(2, TWO)
        response = upload.complete(*((number, etag(body)) for number, body in parts))
        assert response.status_code == (400 if code else 200)
        assert code is None or error_code(response) == code
        assert upload.list().status_code == (200 if code else 404)
        assert world.send("HEAD", "dir/a").status_code == (404 if code else 200)

    @pytest.mark.parametrize(("sizes", "allowed"), [
        ([MIB, MIB, 0], True), ([MIB, MIB - 1, 1], False), ([MIB - 1], True), ([0], True),
    ])  # fmt: skip
    def test_sizes(self, world, error_code, sizes, allowed):
        """Every part but the last has 1 MiB."""
        upload = Multipart(world)
        named = [(number, upload.put(number, b"x" * size).headers["ETag"]) for number, size in enumerate(sizes, 1)]
        response = upload.complete(*named)
        assert response.status_code == (200 if allowed else 400)
        assert allowed or error_code(response) == "EntityTooSmall"

    @pytest.mark.parametrize(
        ("number", "allowed"),
        [("1", True), ("10000", True), ("0", False), ("10001", False), ("-1", False), ("x", False), ("", False)],
    )
    def test_number(self, world, error_code, number, allowed):
        """Parts are numbered from 1 to 10000."""
        response = Multipart(world).put(number, TWO)
        assert response.status_code == (200 if allowed else 400)
        assert allowed or error_code(response) == "InvalidArgument"

    def test_no_number(self, world, error_code):
        """A part has a number, and belongs to an upload."""
        upload = Multipart(world)
        assert error_code(world.send("PUT", "dir/a", params={"uploadId": upload.id})) == "InvalidArgument"
        assert error_code(world.send("PUT", "dir/a", params={"partNumber": "1"})) == "NoSuchUpload"
        assert world.send("HEAD", "dir/a").status_code == 404

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"hello",
            b"<CompleteMultipartUpload/>",
            b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            b"<Other><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></Other>",
            b"<CompleteMultipartUpload><Other><PartNumber>1</PartNumber><ETag>x</ETag></Other></CompleteMultipartUpload>",
            b'<?xml version="1.0" encoding="x-unknown"?><CompleteMultipartUpload/>',
            b'<!DOCTYPE a [<!ENTITY b "1">]>'
            b"<CompleteMultipartUpload><Part><PartNumber>&b;</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload/>".encode("utf-16"),
            b"<CompleteMultipartUpload>" + b"<Part/>" * 10_001 + b"</CompleteMultipartUpload>",
            b" " * (4 * MIB + 1),
        ],
    )
    def test_malformed(self, world, error_code, body):
        """A body that names no parts is refused, whatever it is."""
        response = Multipart(world).complete_raw(body)
        assert (response.status_code, error_code(response)) == (400, "MalformedXML")

    def test_many_parts(self, world, error_code):
        """Ten thousand parts can be named, and one more cannot."""
        named = [(number, "x") for number in range(1, 10_002)]
        assert error_code(Multipart(world).complete(*named[:-1])) == "InvalidPart"
        assert error_code(Multipart(world).complete(*named)) == "MalformedXML"


class TestLikePut:
    """A part is checked like an object."""

    @pytest.mark.parametrize(
        ("headers", "changed", "code"),
        [
            ({}, {}, None),
            ({"Content-MD5": base64.b64encode(hashlib.md5(TWO).digest()).decode()}, {}, None),
            ({"Content-MD5": base64.b64encode(hashlib.md5(ONE).digest()).decode()}, {}, "BadDigest"),
            ({"Content-MD5": "x"}, {}, "InvalidDigest"),
            ({}, {"Content-Length": "11"}, "SignatureDoesNotMatch"),
            ({"Content-Length": "11"}, {}, "IncompleteBody"),
            ({"Content-Length": str(5 * 1024**3 + 1)}, {}, "EntityTooLarge"),
        ],
    )
    def test_body(self, world, error_code, headers, changed, code):
        """Its digest, its signed length and its largest size; refused, it is not there."""
        upload = Multipart(world)
        response = upload.put(1, TWO, headers=headers, changed={"headers": changed})
        assert code is None or error_code(response) == code
        assert numbers(upload.list()) == ([] if code else [1])

    def test_no_length(self, world, error_code):
        """A part needs a Content-Length."""
        now, params = world.clock.now, {"partnumber": "1", "uploadid": "u"}
        headers = {"Host": HOST}
        authorization = world.sign(world.account, "PUT", "a", headers, params, (now, now))
        response = world.http.put("/a?partNumber=1&uploadId=u", headers=headers | {"Authorization": authorization})
        assert error_code(response) == "MissingContentLength"

    @pytest.mark.parametrize(("chunked", "status"), [(False, 200), (True, 400)])
    def test_chunked(self, world, chunked, status):
        """Chunks beside a signed Content-Length are refused, however few they are."""
        upload = Multipart(world)
        params, now = upload.params(partNumber="1"), world.clock.now
        signed = {"Host": HOST, "Content-Length": "10"}
        authorization = world.sign(world.account, "PUT", "dir/a", signed, params, (now, now))
        more = {"Authorization": authorization} | ({"Transfer-Encoding": "chunked"} if chunked else {})
        body = b"a\r\n2222222222\r\n0\r\n\r\n" if chunked else TWO
        with world.emulator as emulator:
            connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)
            connection.request("PUT", f"/dir/a?{urlencode(params)}", body, signed | more)
            response = connection.getresponse()
            assert response.status == status
            assert chunked == (b"<Code>InvalidArgument</Code>" in response.read())
            connection.close()
        assert numbers(upload.list()) == ([] if chunked else [1])

    def test_list_of_parts(self, world, error_code):
        """The body that completes an upload may declare its digest, too."""
        upload = Multipart(world)
        upload.put(1, TWO)
        wrong = {"Content-MD5": base64.b64encode(hashlib.md5(b"").digest()).decode()}
        assert error_code(upload.complete((1, etag(TWO)), headers=wrong)) == "BadDigest"

    def test_condition(self, world):
        """A session's size limit counts for each part alone."""
        condition = {"numeric_less_than_equal": {"cos:content-length": 10}}
        key = world.federate(world.document("UploadPart", condition=condition))
        upload = Multipart(world)
        assert [upload.put(1, b"x" * size, by=key).status_code for size in (10, 11)] == [200, 403]

    def test_copied_part(self, world, error_code):
        """A part that would be copied is not served, and asks for what a copy asks for."""
        copied = {"x-cos-copy-source": f"{HOST}/dir/b"}
        assert error_code(Multipart(world).put(1, b"", headers=copied)) == "NotImplemented"
        key = world.federate(world.document("UploadPart"))
        assert error_code(Multipart(world).put(1, b"", headers=copied, by=key)) == "AccessDenied"


class TestEnd:
    """Uploads that are not, or not any more."""

    def test_abort(self, world):
        """An aborted upload leaves nothing, and no object."""
        upload = Multipart(world)
        upload.put(1, TWO)
        response = upload.abort()
        assert (response.status_code, response.data) == (204, b"")
        assert upload.list().status_code == 404
        assert world.send("HEAD", "dir/a").status_code == 404

    @pytest.mark.parametrize("end", ["abort", "complete", "reset", "unknown", "other key", "other bucket", None])
    def test_gone(self, world, error_code, end):
        """After its end, under another key or by another id there is no such upload; before, there is."""
        upload = Multipart(world)
        upload.put(1, TWO)
        named = (1, etag(TWO))
        {"abort": upload.abort, "complete": lambda: upload.complete(named), "reset": world.emulator.reset}.get(
            end, lambda: None
        )()
        upload.id = "1700000000" + "0" * 64 if end == "unknown" else upload.id
        upload.key = "dir/b" if end == "other key" else upload.key
        host = {"host": "other-1250000000.cos.ap-guangzhou.myqcloud.com"} if end == "other bucket" else {}
        calls = [
            world.send("PUT", upload.key, params=upload.params(partNumber="1"), body=TWO, **host),
            world.send("GET", upload.key, params=upload.params(), **host),
            upload.complete_raw(b"", **host),
            world.send("DELETE", upload.key, params=upload.params(), **host),
        ]
        if end is None:
            assert [call.status_code for call in calls] == [200, 200, 400, 204]
        else:
            assert [(call.status_code, error_code(call)) for call in calls] == [(404, "NoSuchUpload")] * 4

    @pytest.mark.parametrize(
        ("at_start", "exists", "at_end", "appears", "statuses"),
        [
            (True, True, False, False, [409]),
            (True, False, False, True, [200, 409]),
            (False, True, True, False, [200, 409]),
            (True, False, True, False, [200, 200]),
            (False, True, False, False, [200, 200]),
        ],
    )
    def test_forbid_overwrite(self, world, error_code, at_start, exists, at_end, appears, statuses):
        """x-cos-forbid-overwrite counts when an upload begins and when it ends, wherever it was said."""
        forbidding = {"headers": {"x-cos-forbid-overwrite": "true"}}
        if exists:
            world.send("PUT", "dir/a", body=b"first")
        begun = world.send("POST", "dir/a", params={"uploads": ""}, **(forbidding if at_start else {}))
        answers = [begun]
        if begun.status_code == 200:
            upload = Multipart(world)
            upload.id = ElementTree.fromstring(begun.data).findtext("UploadId")
            upload.put(1, TWO)
            if appears:
                world.send("PUT", "dir/a", body=b"first")
            answers.append(upload.complete((1, etag(TWO)), **(forbidding if at_end else {})))
        assert [answer.status_code for answer in answers] == statuses
        kept = b"first" if statuses[-1] == 409 else TWO
        assert world.send("GET", "dir/a").data == kept
        assert statuses[-1] == 200 or error_code(answers[-1]) == "FileAlreadyExists"


class TestFolder:
    """--data DIR."""

    def test_restart(self, make_world, tmp_path):
        """An upload, its parts, its headers and its bucket survive; it can be completed afterwards."""
        first = Multipart(make_world(data_dir=tmp_path), "../目录", headers={"x-cos-meta-a": "b"})
        first.put(1, ONE)
        first.put(2, b"old")
        first.put(2, TWO)
        first.world = make_world(data_dir=tmp_path)
        assert first.complete((1, etag(ONE)), (2, etag(TWO)), host="127.0.0.1:9000").status_code == 200
        got = make_world(data_dir=tmp_path).send("GET", "../目录")
        assert (got.data, got.headers["x-cos-meta-a"]) == (ONE + TWO, "b")
        assert [path.suffix for path in (tmp_path / BUCKET).iterdir()] == [".object"]

    def test_forbidden_overwrite(self, make_world, tmp_path):
        """So does what the first request forbade."""
        upload = Multipart(make_world(data_dir=tmp_path), headers={"x-cos-forbid-overwrite": "true"})
        upload.put(1, TWO)
        upload.world = make_world(data_dir=tmp_path)
        upload.world.send("PUT", "dir/a")
        assert upload.complete((1, etag(TWO))).status_code == 409

    @pytest.mark.parametrize("end", ["abort", "reset"])
    def test_files(self, make_world, tmp_path, end):
        """No part of a key is part of a path, and an end leaves no file."""
        world = make_world(data_dir=tmp_path)
        upload = Multipart(world, "../../escape")
        upload.put(1, TWO)
        upload.put(2, TWO)
        assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
            f"{upload.id}.1.part",
            f"{upload.id}.2.part",
            f"{upload.id}.upload",
        ]
        upload.abort() if end == "abort" else world.emulator.reset()
        assert list(tmp_path.rglob("*.*")) == []

    def test_left_over(self, make_world, tmp_path):
        """A part without its upload is swept at the start; a file of someone else's is not."""
        (tmp_path / BUCKET).mkdir()
        ours, theirs = (tmp_path / BUCKET / name for name in ("1700000000" + "0" * 64 + ".1.part", "film.mkv.part"))
        for path in (ours, theirs):
            path.write_bytes(b"{}\n")
        make_world(data_dir=tmp_path)
        assert (ours.exists(), theirs.exists()) == (False, True)

    def test_ended_meanwhile(self, tmp_path):
        """A part that comes when its upload has just ended is not stored."""
        uploads = Uploads(tmp_path)
        upload = uploads.begin(BUCKET, "a", {}, True, 1)
        uploads.end(upload)
        assert not uploads.add(upload, 1, Stored(b"x", {}, 1, simple_etag(b"x")))
        assert list(tmp_path.rglob("*.*")) == []
