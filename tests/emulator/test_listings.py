"""Listings of objects, uploads and parts, a page at a time."""

from xml.etree import ElementTree

import pytest

from broker.emulator.objects import Stored, simple_etag

BUCKET = "examplebucket-1250000000"
KEYS = ["a", "dir/", "dir/1", "dir/2", "dir/sub/1", "dir2/1", "z", "目录/a b"]


def read(response, root):
    """The document of an answer, which has that root."""
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/xml")
    document = ElementTree.fromstring(response.data)
    assert document.tag == root
    return document


def names(document, path):
    """The texts at a path."""
    return [element.text for element in document.findall(path)]


@pytest.fixture
def filled(world):
    """A world with the objects KEYS, not stored in their order."""
    for key in reversed(KEYS):
        world.send("PUT", key, body=key.encode())
    return world


class TestObjects:
    """GET Bucket."""

    @pytest.mark.parametrize(
        ("params", "keys", "prefixes"),
        [
            ({}, KEYS, []),
            ({"prefix": "", "delimiter": "", "marker": ""}, KEYS, []),
            ({"prefix": "dir"}, ["dir/", "dir/1", "dir/2", "dir/sub/1", "dir2/1"], []),
            ({"prefix": "dir/"}, ["dir/", "dir/1", "dir/2", "dir/sub/1"], []),
            ({"prefix": "none"}, [], []),
            ({"delimiter": "/"}, ["a", "z"], ["dir/", "dir2/", "目录/"]),
            ({"prefix": "dir/", "delimiter": "/"}, ["dir/", "dir/1", "dir/2"], ["dir/sub/"]),
            ({"prefix": "di", "delimiter": "r"}, [], ["dir"]),
            ({"marker": "dir/1"}, ["dir/2", "dir/sub/1", "dir2/1", "z", "目录/a b"], []),
            ({"marker": "dir/", "delimiter": "/"}, ["z"], ["dir2/", "目录/"]),
            ({"marker": "dir/1", "delimiter": "/"}, ["z"], ["dir/", "dir2/", "目录/"]),
            ({"marker": "目录/a b"}, [], []),
            ({"max-keys": "0"}, [], []),
            ({"max-keys": "9999"}, KEYS, []),
            ({"list-type": "2"}, KEYS, []),
        ],
    )
    def test_page(self, filled, params, keys, prefixes):
        """Prefix, delimiter and marker choose, in UTF-8 order."""
        document = read(filled.send("GET", "", params=params), "ListBucketResult")
        assert names(document, "Contents/Key") == keys
        assert names(document, "CommonPrefixes/Prefix") == prefixes
        assert document.findtext("IsTruncated") == "false"
        assert document.find("NextMarker") is None

    @pytest.mark.parametrize("delimiter", ["", "/"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    def test_pages(self, filled, limit, delimiter):
        """Page after page comes everything, once; a page has as many keys and prefixes as were asked for."""
        found, marker = [], ""
        while marker is not None:
            params = {"delimiter": delimiter, "marker": marker, "max-keys": str(limit)}
            document = read(filled.send("GET", "", params=params), "ListBucketResult")
            page = names(document, "Contents/Key") + names(document, "CommonPrefixes/Prefix")
            marker = document.findtext("NextMarker")
            assert len(page) <= limit
            assert (marker is not None) == (document.findtext("IsTruncated") == "true")
            found += page
        assert sorted(found) == (["a", "dir/", "dir2/", "z", "目录/"] if delimiter else KEYS)

    def test_document(self, world):
        """The document has what the vendor's has."""
        world.send("PUT", "a<b", body=b"hello")
        document = read(world.send("GET", "", params={"prefix": "a", "delimiter": "/"}), "ListBucketResult")
        assert [(element.tag, element.text) for element in document if not len(element)] == [
            ("Name", BUCKET),
            ("Prefix", "a"),
            ("Delimiter", "/"),
            ("Marker", None),
            ("MaxKeys", "1000"),
            ("IsTruncated", "false"),
        ]
        assert [(element.tag, element.text) for element in document.find("Contents") if not len(element)] == [
            ("Key", "a<b"),
            ("LastModified", "2023-11-14T22:13:20.000Z"),
            ("ETag", '"5d41402abc4b2a76b9719d911017c592"'),
            ("Size", "5"),
            ("StorageClass", "STANDARD"),
        ]
        assert document.findtext("Contents/Owner/ID") == "1250000000"

    def test_encoded(self, world):
        """With encoding-type=url every name is percent-encoded, so that any key can be read."""
        world.send("PUT", "目录/a\x01b")
        world.send("PUT", "目录/c")
        params = {"encoding-type": "url", "prefix": "目录/", "max-keys": "1"}
        document = read(world.send("GET", "", params=params), "ListBucketResult")
        assert document.findtext("EncodingType") == "url"
        assert document.findtext("Prefix") == "%E7%9B%AE%E5%BD%95/"
        assert names(document, "Contents/Key") == [document.findtext("NextMarker")] == ["%E7%9B%AE%E5%BD%95/a%01b"]

    @pytest.mark.parametrize(
        "params", [{"max-keys": "x"}, {"max-keys": "-1"}, {"max-keys": ""}, {"encoding-type": "base64"}]
    )
    def test_refused(self, world, error_code, params):
        """What is no number, and an encoding that COS has not, are refused."""
        assert error_code(world.send("GET", "", params=params)) == "InvalidArgument"

    def test_own_bucket(self, filled):
        """A bucket lists its own objects."""
        other = "other-1250000000.cos.ap-guangzhou.myqcloud.com"
        assert names(read(filled.send("GET", "", host=other), "ListBucketResult"), "Contents/Key") == []

    def test_many(self, world):
        """A page has at most a thousand keys."""
        for index in range(1_001):
            world.emulator._objects.put(BUCKET, f"{index:04}", Stored(b"", {}, 1, simple_etag(b"")), overwrite=True)
        document = read(world.send("GET", "", params={"max-keys": "1001"}), "ListBucketResult")
        assert (len(names(document, "Contents/Key")), document.findtext("MaxKeys")) == (1_000, "1000")
        assert document.findtext("NextMarker") == "0999"

    def test_head(self, world):
        """HEAD Bucket says where the bucket is."""
        response = world.send("HEAD", "")
        assert (response.status_code, response.data) == (200, b"")
        assert response.headers["x-cos-bucket-region"] == "ap-guangzhou"

    @pytest.mark.parametrize(
        ("action", "method", "params"),
        [("GetBucket", "GET", {}), ("HeadBucket", "HEAD", {}), ("ListMultipartUploads", "GET", {"uploads": ""})],
    )
    def test_action(self, world, action, method, params):
        """Each needs its action, on the bucket and not on its keys."""
        rest = {"GetBucket", "HeadBucket", "ListMultipartUploads", "GetObject", "HeadObject", "ListParts"} - {action}
        for actions, key, status in (([action], "", 200), ([action], "*", 200), ([action], "dir/*", 403)):
            credential = world.federate(world.document(*actions, key=key))
            assert world.send(method, "", by=credential, params=params).status_code == status
        credential = world.federate(world.document(*sorted(rest), key="*"))
        assert world.send(method, "", by=credential, params=params).status_code == 403


def begin(world, key):
    """The id of a new upload."""
    return ElementTree.fromstring(world.send("POST", key, params={"uploads": ""}).data).findtext("UploadId")


class TestUploads:
    """List Multipart Uploads."""

    @pytest.fixture
    def begun(self, world):
        """A world with four uploads, two to one key; their ids by age."""
        ids = []
        for key in ("dir/b", "dir/a", "dir/a", "other/目录"):
            ids.append(begin(world, key))
            world.clock.tick(1)
        return world, ids

    def list(self, world, **params):
        """The document."""
        return read(world.send("GET", "", params={"uploads": "", **params}), "ListMultipartUploadsResult")

    def test_order(self, begun):
        """Uploads come by key, those of one key from the oldest to the newest."""
        world, (b, a1, a2, other) = begun
        document = self.list(world)
        assert names(document, "Upload/UploadId") == [a1, a2, b, other]
        assert names(document, "Upload/Key") == ["dir/a", "dir/a", "dir/b", "other/目录"]
        assert document.findtext("Upload/Initiated") == "2023-11-14T22:13:21.000Z"
        assert (document.findtext("Bucket"), document.findtext("IsTruncated")) == (BUCKET, "false")

    @pytest.mark.parametrize(
        ("params", "expected", "prefixes"),
        [
            ({"prefix": "dir/"}, [1, 2, 0], []),
            ({"prefix": "dir/a"}, [1, 2], []),
            ({"prefix": "none"}, [], []),
            ({"delimiter": "/"}, [], ["dir/", "other/"]),
            ({"key-marker": "dir/a"}, [0, 3], []),
            ({"key-marker": "dir/", "delimiter": "/"}, [], ["other/"]),
        ],
    )
    def test_chosen(self, begun, params, expected, prefixes):
        """Prefix, delimiter and marker choose, as they do with objects."""
        world, ids = begun
        document = self.list(world, **params)
        assert names(document, "Upload/UploadId") == [ids[index] for index in expected]
        assert names(document, "CommonPrefixes/Prefix") == prefixes

    def test_pages(self, begun):
        """Page after page comes every upload, once, also within one key."""
        world, (b, a1, a2, other) = begun
        found, markers = [], {}
        while markers is not None:
            document = self.list(world, **{"max-uploads": "1", "encoding-type": "url"}, **markers)
            found += names(document, "Upload/UploadId")
            truncated = document.findtext("IsTruncated") == "true"
            last = {
                "key-marker": document.findtext("NextKeyMarker"),
                "upload-id-marker": document.findtext("NextUploadIdMarker"),
            }
            markers = last if truncated else None
        assert found == [a1, a2, b, other]
        assert names(document, "Upload/Key") == ["other/%E7%9B%AE%E5%BD%95"]

    def test_ended(self, begun):
        """An upload that ended is not listed."""
        world, (b, a1, a2, other) = begun
        world.send("DELETE", "dir/a", params={"uploadId": a1})
        assert names(self.list(world), "Upload/UploadId") == [a2, b, other]

    def test_prefix(self, world):
        """cos:prefix limits this listing, too."""
        condition = {"string_equal": {"cos:prefix": "dir%2F"}}
        key = world.federate(world.document("ListMultipartUploads", key="", condition=condition))
        for params, status in (({"prefix": "dir/"}, 200), ({"prefix": ""}, 403), ({}, 403)):
            assert world.send("GET", "", by=key, params={"uploads": "", **params}).status_code == status


class TestParts:
    """List Parts."""

    @pytest.fixture
    def upload(self, world):
        """An upload to 目录 with the parts 1, 2, 10 and 9; its id."""
        upload_id = begin(world, "目录")
        for number in ("2", "10", "1", "9"):
            world.send("PUT", "目录", params={"partNumber": number, "uploadId": upload_id}, body=b"x" * int(number))
        return upload_id

    @pytest.mark.parametrize(
        ("params", "numbers", "following"),
        [
            ({}, ["1", "2", "9", "10"], None),
            ({"max-parts": "2"}, ["1", "2"], "2"),
            ({"max-parts": "2", "part-number-marker": "2"}, ["9", "10"], None),
            ({"part-number-marker": "9"}, ["10"], None),
            ({"part-number-marker": "10"}, [], None),
            ({"max-parts": "0"}, [], None),
        ],
    )
    def test_page(self, world, upload, params, numbers, following):
        """Parts come by number, from behind the marker."""
        document = read(world.send("GET", "目录", params={"uploadId": upload, **params}), "ListPartsResult")
        assert names(document, "Part/PartNumber") == names(document, "Part/Size") == numbers
        assert document.findtext("NextPartNumberMarker") == following
        assert document.findtext("IsTruncated") == ("true" if following else "false")

    def test_document(self, world, upload):
        """The document says whose parts they are, and each part's time and ETag."""
        params = {"uploadId": upload, "encoding-type": "url", "max-parts": "1"}
        document = read(world.send("GET", "目录", params=params), "ListPartsResult")
        told = [document.findtext(name) for name in ("Bucket", "EncodingType", "Key", "UploadId", "PartNumberMarker")]
        assert told == [BUCKET, "url", "%E7%9B%AE%E5%BD%95", upload, "0"]
        assert [(element.tag, element.text) for element in document.find("Part")] == [
            ("PartNumber", "1"),
            ("LastModified", "2023-11-14T22:13:20.000Z"),
            ("ETag", '"9dd4e461268c8034f5c8564e155c67a6"'),
            ("Size", "1"),
        ]

    @pytest.mark.parametrize("params", [{"max-parts": "x"}, {"part-number-marker": "-1"}, {"encoding-type": "x"}])
    def test_refused(self, world, upload, error_code, params):
        """What is no number, and an encoding that COS has not, are refused."""
        assert error_code(world.send("GET", "目录", params={"uploadId": upload, **params})) == "InvalidArgument"
