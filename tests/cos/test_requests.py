"""What COS reads in a request's names, hosts and buckets."""

import pytest

from broker.cos import requests
from broker.cos.requests import Endpoint


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "host",
        "sign",
        "x-cos-security-token",
        "pic-operations",
        "transfer-encoding",
        "connection",
        "expect",
        "q-",
        "q-ak",
        "q-signature",
        "q-anything",
        "x-ci-",
        "x-ci-security-token",
        "x-ci-process",
        "x-cos-copy-source",
        "x-cos-copy-source-range",
        "x-cos-copy-source-if-match",
        "x-cos-grant-read",
        "x-cos-grant-full-control",
        "x-cos-callback",
        "x-cos-callback-var",
        "x-cos-server-side-encryption-customer-key",
        "x-cos-server-side-encryption-customer-algorithm",
    ],
)
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_reserved_name(name: str, spell) -> None:
    """A reserved name or prefix is reserved in any case."""
    assert requests.is_reserved(spell(name))


@pytest.mark.parametrize(
    "name",
    [
        "authorization2",
        "hosts",
        "signature",
        "x-host",
        "q",
        "qq-ak",
        "ak",
        "x-ci",
        "x-cos-security-tokens",
        "x-cos-copy",
        "x-cos-grant",
        "x-cos-acl",
        "x-cos-meta-host",
        "x-cos-meta-q-ak",
        "x-cos-forbid-overwrite",
        "x-cos-server-side-encryption",
        "expires",
        "content-type",
        "range",
        "response-content-type",
        "versionid",
        "",
    ],
)
def test_free_name(name: str) -> None:
    """A name that only resembles a reserved one is free."""
    assert not requests.is_reserved(name)


def test_reserved_as_told() -> None:
    """The list that messages quote holds only names that are reserved."""
    assert all(requests.is_reserved(word.replace("*", "x")) for word in requests.RESERVED.split())


@pytest.mark.parametrize(
    "name",
    (
        "acl tagging uploads uploadId partNumber append position delete restore select retention policy cors lifecycle "
        "versions prefix delimiter marker max-keys encoding-type key-marker version-id-marker part-number-marker "
        "website logging inventory referer replication versioning origin domain accelerate symlink torrent"
    ).split(),
)
def test_sub_resource(name: str) -> None:
    """A parameter that makes another operation of the request is one in any case."""
    assert requests.is_sub_resource(name)
    assert requests.is_sub_resource(name.upper())


@pytest.mark.parametrize(
    "name",
    [
        "response-content-type",
        "response-content-disposition",
        "versionId",
        "imageMogr2/thumbnail/200x",
        "acls",
        "x-acl",
        "upload",
        "part",
        "",
    ],
)
def test_plain_parameter(name: str) -> None:
    """A parameter that changes only the answer, or means nothing to COS, is no sub-resource."""
    assert not requests.is_sub_resource(name)


def test_sub_resources_in_lower_case() -> None:
    """The list is lower case, as names are compared."""
    assert all(name == name.lower() for name in requests.SUB_RESOURCES)


@pytest.mark.parametrize(
    ("template", "base_url", "host"),
    [
        pytest.param(
            "https://{bucket}.cos.{region}.myqcloud.com",
            "https://examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com",
            "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com",
            id="default",
        ),
        pytest.param(
            "https://{bucket}.cos.accelerate.myqcloud.com",
            "https://examplebucket-1250000000.cos.accelerate.myqcloud.com",
            "examplebucket-1250000000.cos.accelerate.myqcloud.com",
            id="acceleration",
        ),
        pytest.param(
            "https://{bucket}.cos.{region}.tencentcos.cn",
            "https://examplebucket-1250000000.cos.ap-guangzhou.tencentcos.cn",
            "examplebucket-1250000000.cos.ap-guangzhou.tencentcos.cn",
            id="new domain",
        ),
        pytest.param("https://files.example.com", "https://files.example.com", "files.example.com", id="custom domain"),
        pytest.param("https://files.example.com/", "https://files.example.com", "files.example.com", id="slash"),
        pytest.param("HTTPS://Files.Example.COM", "https://files.example.com", "files.example.com", id="case"),
        pytest.param("http://127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1:9000", id="port"),
        pytest.param("http://LocalHost:9000", "http://localhost:9000", "localhost:9000", id="port and case"),
        pytest.param("https://h:443", "https://h", "h", id="https port"),
        pytest.param("http://h:80", "http://h", "h", id="http port"),
        pytest.param("https://h:80", "https://h:80", "h:80", id="http port on https"),
        pytest.param("http://h:443", "http://h:443", "h:443", id="https port on http"),
        pytest.param("https://h:8443", "https://h:8443", "h:8443", id="port that ends in 443"),
        pytest.param("http://h:8080", "http://h:8080", "h:8080", id="port that ends in 80"),
        pytest.param("http://[::1]:9000", "http://[::1]:9000", "[::1]:9000", id="IPv6"),
        pytest.param("http://[::1]", "http://[::1]", "[::1]", id="IPv6 without port"),
    ],
)
def test_endpoint(template: str, base_url: str, host: str) -> None:
    """An endpoint is the authority that HTTP clients send: lower case, without the scheme's own port."""
    assert requests.endpoint(template, "examplebucket-1250000000", "ap-guangzhou") == Endpoint(base_url, host)


@pytest.mark.parametrize(
    ("bucket", "appid"),
    [("examplebucket-1250000000", "1250000000"), ("my-bucket-2-1309999999", "1309999999"), ("a-10000", "10000")],
)
def test_appid(bucket: str, appid: str) -> None:
    """The APPID is what follows the last hyphen."""
    assert requests.appid(bucket) == appid


BUCKETS = {
    "examplebucket-1250000000": True,
    "my-bucket-2-1309999999": True,
    "a-10000": True,
    "0-10000": True,
    f"{'a' * 50}-1250000000": True,
    f"{'a' * 51}-1250000000": False,
    "examplebucket": False,
    "-1250000000": False,
    "a--1250000000": False,
    "-a-1250000000": False,
    "a-0250000000": False,
    "a-1250": False,
    f"a-1{'0' * 19}": True,
    f"a-1{'0' * 20}": False,
    "Examplebucket-1250000000": False,
    "example_bucket-1250000000": False,
    "example.bucket-1250000000": False,
    "examplebucket-1250000000\n": False,
    "examplebucket-１２５０００００００": False,
    "*-1250000000": False,
    "": False,
}
REGIONS = {
    "ap-guangzhou": True,
    "ap-beijing-1": True,
    "na-siliconvalley": True,
    "ap-shanghai-fsi": True,
    "a-guangzhou": False,
    "guangzhou": False,
    "ap-": False,
    "ap--guangzhou": False,
    "AP-GUANGZHOU": False,
    "ap-guangzhou.": False,
    "ap_guangzhou": False,
    "ap-*": False,
    "*": False,
    "ap-guangzhou\n": False,
    "": False,
}
MEDIA_TYPES = {
    "image/png": True,
    "application/vnd.api+json": True,
    "Image/PNG": True,
    "x/y": True,
    "a!#$%&'+.^_`|~0-Z/b": True,
    "image/*": False,
    "*/*": False,
    "image/": False,
    "/png": False,
    "image": False,
    "image/png/x": False,
    "image/png; charset=utf-8": False,
    "image/png;charset=utf-8": False,
    "image/png, image/gif": False,
    " image/png": False,
    "image/png ": False,
    "image/png\n": False,
    "image/pñg": False,
    'image/"png"': False,
    "": False,
}


@pytest.mark.parametrize(("text", "legal"), BUCKETS.items())
def test_bucket(text: str, legal: bool) -> None:
    """A bucket is a name in lower case, a hyphen and an APPID."""
    assert bool(requests.BUCKET.fullmatch(text)) is legal


@pytest.mark.parametrize(("text", "legal"), REGIONS.items())
def test_region(text: str, legal: bool) -> None:
    """A region is words in lower case, joined by hyphens."""
    assert bool(requests.REGION.fullmatch(text)) is legal


@pytest.mark.parametrize(("text", "legal"), MEDIA_TYPES.items())
def test_media_type(text: str, legal: bool) -> None:
    """A media type is two tokens, without range and without parameters."""
    assert bool(requests.MEDIA_TYPE.fullmatch(text)) is legal


@pytest.mark.parametrize(
    ("text", "legal"),
    [("image/png", True), ("image/*", True), ("*/*", False), ("*", False), ("image/p*", False), ("image/**", False)],
)
def test_media_type_or_range(text: str, legal: bool) -> None:
    """A range leaves the whole subtype open, nothing else."""
    assert bool(requests.MEDIA_TYPE_OR_RANGE.fullmatch(text)) is legal


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("x-cos-meta-name", True),
        ("x-cos-meta-*", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("a b", False),
        ("a:b", False),
        ("a\r\n", False),
        ("é", False),
        ("", False),
    ],
)
def test_header_name(text: str, legal: bool) -> None:
    """A header's name is a token of at most 128 characters."""
    assert bool(requests.HEADER_NAME.fullmatch(text)) is legal


@pytest.mark.parametrize(
    ("method", "operation", "action"),
    [
        ("GET", "get", "name/cos:GetObject"),
        ("HEAD", "head", "name/cos:HeadObject"),
        ("PUT", "put", "name/cos:PutObject"),
        ("POST", "post", "name/cos:PostObject"),
        ("DELETE", "delete", "name/cos:DeleteObject"),
    ],
)
def test_action_of_method(method: str, operation: str, action: str) -> None:
    """A method on an object, without sub-resource, is one operation and needs one action."""
    assert requests.OPERATION_OF_METHOD[method] == operation
    assert requests.ACTION_OF_OPERATION[operation] == action


def test_every_method() -> None:
    """Every method has an operation and an action; the writing ones are known."""
    assert set(requests.METHODS) == set(requests.OPERATION_OF_METHOD)
    assert set(requests.OPERATION_OF_METHOD.values()) == set(requests.ACTION_OF_OPERATION)
    assert {"put", "post", "delete", "form", "initiate", "multipart"} == requests.WRITE_OPERATIONS
    assert requests.MAKES_KEYS <= requests.WRITE_OPERATIONS
