"""Signatures against the vendor's documentation (O1, O2) and against answers of the official SDK (T1 to T16)."""

import hmac
from typing import NamedTuple

import pytest

from broker.cos import signing
from broker.cos.signing import Request, Signer, Window

SECRET_ID = "AKIDEXAMPLE0000000000000000000000000"
SECRET_KEY = "SKEXAMPLE00000000000000000000000"
HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
BASE_URL = f"https://{HOST}"
WINDOW = Window(1699999940, 1700000300)
KEY_TIME = "1699999940;1700000300"
SIGN_KEY = "a7a27ad776254655e12ffccbe4ec59fd12c9b870"
HOUR = Window(1699999940, 1700003600)
UPLOAD_ID = "1585130821cbb7df1d11846c073ad648e8f33b087cec2381df437acdc833cf654b9ecc6361"


class Stages(NamedTuple):
    """A request and every stage of its signature, as published."""

    secret_key: str
    key_time: str
    sign_key: str
    method: str
    key: str
    params: dict[str, str]
    headers: dict[str, str]
    http_string: str
    sha1: str
    signature: str


OFFICIAL_KEY = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz"
OFFICIAL_HOST = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"

OFFICIAL = {
    "O1": Stages(
        OFFICIAL_KEY,
        "1557989151;1557996351",
        "eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f",
        "PUT",
        "exampleobject(腾讯云)",
        {},
        {
            "Date": "Thu, 16 May 2019 06:45:51 GMT",
            "Host": OFFICIAL_HOST,
            "Content-Type": "text/plain",
            "Content-Length": "13",
            "Content-MD5": "mQ/fVh815F3k6TAUm8m0eg==",
            "x-cos-acl": "private",
            "x-cos-grant-read": 'uin="100000000011"',
        },
        "put\n/exampleobject(腾讯云)\n\ncontent-length=13&content-md5=mQ%2FfVh815F3k6TAUm8m0eg%3D%3D&"
        "content-type=text%2Fplain&date=Thu%2C%2016%20May%202019%2006%3A45%3A51%20GMT&"
        "host=examplebucket-1250000000.cos.ap-beijing.myqcloud.com&x-cos-acl=private&"
        "x-cos-grant-read=uin%3D%22100000000011%22\n",
        "8b2751e77f43a0995d6e9eb9477f4b685cca4172",
        "3b8851a11a569213c17ba8fa7dcf2abec6935172",
    ),
    "O2": Stages(
        OFFICIAL_KEY,
        "1557989753;1557996953",
        "937914bf490e9e8c189836aad2052e4feeb35eaf",
        "GET",
        "exampleobject(腾讯云)",
        {"response-content-type": "application/octet-stream", "response-cache-control": "max-age=600"},
        {"Date": "Thu, 16 May 2019 06:55:53 GMT", "Host": OFFICIAL_HOST},
        "get\n/exampleobject(腾讯云)\n"
        "response-cache-control=max-age%3D600&response-content-type=application%2Foctet-stream\n"
        "date=Thu%2C%2016%20May%202019%2006%3A55%3A53%20GMT&"
        "host=examplebucket-1250000000.cos.ap-beijing.myqcloud.com\n",
        "54ecfe22f59d3514fdc764b87a32d8133ea611e6",
        "01681b8c9d798a678e43b685a9f1bba0f6c0e012",
    ),
}


def from_sdk(
    method: str,
    key: str,
    http_string: str,
    sha1: str,
    signature: str,
    *,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Stages:
    """A vector with the key and window that T1 to T16 share (T9 has a longer one)."""
    headers = {"Host": HOST} if headers is None else headers
    return Stages(SECRET_KEY, KEY_TIME, SIGN_KEY, method, key, params or {}, headers, http_string, sha1, signature)


T6_HEADERS = {"Content-Type": "image/png", "Content-Length": "1024", "x-cos-acl": "private", "Host": HOST}
T7_PARAMS = {"response-content-disposition": 'attachment; filename="测 试.txt"'}
T9_PARAMS = {"partNumber": "1", "uploadId": UPLOAD_ID}

TOKENLESS = {
    "T1": from_sdk(
        "PUT",
        "dir/a.txt",
        f"put\n/dir/a.txt\n\nhost={HOST}\n",
        "23841434d0053bedfdfef4d99509df4f4501e947",
        "1e3f9c2baba0950879a024f09ee0fc43844d49fc",
    ),
    "T3": from_sdk(
        "PUT",
        "目录/a b+c~d'(e)!*.txt",
        f"put\n/目录/a b+c~d'(e)!*.txt\n\nhost={HOST}\n",
        "62fb80b501d4865f3547cb6e400232fe100982f5",
        "151240f1ffaa09c2cb9e8137536f7b7da3d57c3a",
    ),
    "T4": from_sdk(  # the SDK's "/dir/a.txt"
        "GET",
        "dir/a.txt",
        f"get\n/dir/a.txt\n\nhost={HOST}\n",
        "0032ef93c242e5d9021999df08edb91225c89a78",
        "552d5e03bc3af1a9b417982dcba8aade3ad8a1e9",
    ),
    "T4b": from_sdk(  # the SDK's "//dir/a.txt"
        "GET",
        "/dir/a.txt",
        f"get\n//dir/a.txt\n\nhost={HOST}\n",
        "0520e87f72bff23faef230c14b0ac11d56496409",
        "e4355cb5cdec55e9594e38bf8e7c30367a6de502",
    ),
    "T5": from_sdk(
        "GET",
        "a/./b/../c//d.txt",
        f"get\n/a/./b/../c//d.txt\n\nhost={HOST}\n",
        "090d92c6b8ac8c06514f592464265ac004ebd07c",
        "77e6af60a63fe03cf59f129bd91413f179b5622f",
    ),
    "T8": from_sdk(
        "PUT",
        "dir/a.txt",
        "put\n/dir/a.txt\n\n\n",
        "318813a4cc91cd2f048bcca7a31d597023060438",
        "f929e3437a7f75e29b854ab697c8ec2ddc315737",
        headers={},
    ),
    "T11": from_sdk(
        "GET",
        "dir/a.txt",
        f"get\n/dir/a.txt\nk%20%c3%a9=x&response-content-type=a%20b&~k=v~\nhost={HOST}\n",
        "30779e38f17db14e09102bace5e2085ac1b0d94e",
        "67af26d885afbd493cd5a8ede9ec2e5ea298793d",
        params={"Response-Content-Type": "a b", "~k": "v~", "K é": "x"},
    ),
    "T12": from_sdk(
        "GET",
        "dir/a.txt",
        f"get\n/dir/a.txt\na%20b=5&a%5b0%5d=6&a-b=2&a.b=3&a0=7&a_b=1&ab=4\nhost={HOST}\n",
        "efccb6081a10bd0584fa1dd4155deddd23a7743b",
        "05f2fed03058491e290665524c7e9af2e72ee06c",
        params={"a_b": "1", "a-b": "2", "a.b": "3", "aB": "4", "a b": "5", "a[0]": "6", "A0": "7"},
    ),
    "T13": from_sdk(
        "GET",
        "a%20b?x=1&y#z",
        f"get\n/a%20b?x=1&y#z\n\nhost={HOST}\n",
        "2a1a29f94e4441fee9b4c461eb9c98b77127f201",
        "f56ed3b1f2df69130be7c88ddfc930b4b2bc040c",
    ),
    "T14": from_sdk(
        "GET",
        "dir/a.txt",
        "get\n/dir/a.txt\n\nhost=localhost\n",
        "0ee65701c609e6d88580ec62fad1b3425ec7738c",
        "71a5a34fc3cf82681ae62f257496b0a6c20134e8",
        headers={"host": "localhost"},
    ),
    "T14b": from_sdk(
        "GET",
        "dir/a.txt",
        "get\n/dir/a.txt\n\nhost=localhost%3A9000\n",
        "155d496e17d22e68e96a6c57fb89538ac753503c",
        "c3820957fa3b84ed98edbcad64d7c161e65e68b0",
        headers={"Host": "localhost:9000"},
    ),
    "T15": from_sdk(
        "GET",
        "dir/a.txt",
        "get\n/dir/a.txt\n\nhost=examplebucket-1250000000.cos.accelerate.myqcloud.com\n",
        "b585cc96cedbc575db5a53403f1000e05d55e8a1",
        "dd8257413152ab3298efb275b0b24937bd8d9cf4",
        headers={"Host": "examplebucket-1250000000.cos.accelerate.myqcloud.com"},
    ),
    "T16": from_sdk(  # the SDK's "/": the bucket itself
        "GET",
        "",
        f"get\n/\nmax-keys=10&prefix=a%2F\nhost={HOST}\n",
        "ed85d44969b09d2d7663d1754b1e1953db8a99fe",
        "64c4e11468f2e4c3502e6411864afe84acd26014",
        params={"prefix": "a/", "max-keys": "10"},
    ),
}

WITH_TOKEN = {
    "T2": from_sdk(
        "GET",
        "dir/a.txt",
        f"get\n/dir/a.txt\nx-cos-security-token=TOKEN_abc-123\nhost={HOST}\n",
        "673dcc6a775929b9ca5cef8bf41844dfac351959",
        "9df4dadd1919b6ce665d237b40f58adc8eb2a9d8",
        params={"x-cos-security-token": "TOKEN_abc-123"},
    ),
    "T2b": from_sdk(
        "GET",
        "dir/a.txt",
        f"get\n/dir/a.txt\nx-cos-security-token=a%2Bb%2Fc%3D%3D\nhost={HOST}\n",
        "accf79d0069126013762b07c9c941b3aca51b2d1",
        "034cfd5af4f5ee1152b41112e5a9e306b85829d7",
        params={"x-cos-security-token": "a+b/c=="},
    ),
    "T6": from_sdk(
        "PUT",
        "dir/a.txt",
        "put\n/dir/a.txt\nx-cos-security-token=TOK\n"
        f"content-length=1024&content-type=image%2Fpng&host={HOST}&x-cos-acl=private\n",
        "e5d0aafd4509fdaacd6d4cc341fd85b60321c172",
        "b9a4449bed8b7bc411314818b46407db5b0593b9",
        params={"x-cos-security-token": "TOK"},
        headers=T6_HEADERS,
    ),
    "T7": from_sdk(
        "GET",
        "dir/a.txt",
        "get\n/dir/a.txt\n"
        "response-content-disposition=attachment%3B%20filename%3D%22%E6%B5%8B%20%E8%AF%95.txt%22&"
        f"x-cos-security-token=TOK\nhost={HOST}\n",
        "605d36b6b9b0d1d90e381ca3d56166e87deddd98",
        "9a033f0ea42bcd278c882ef04969ba6b8b1e693b",
        params={**T7_PARAMS, "x-cos-security-token": "TOK"},
    ),
    "T9": Stages(
        SECRET_KEY,
        "1699999940;1700003600",
        "d803c2f336800d62e789f2642a365de88988bb14",
        "PUT",
        "big.bin",
        {**T9_PARAMS, "x-cos-security-token": "TOK"},
        {"Host": HOST},
        "put\n/big.bin\npartnumber=1&"
        "uploadid=1585130821cbb7df1d11846c073ad648e8f33b087cec2381df437acdc833cf654b9ecc6361&"
        f"x-cos-security-token=TOK\nhost={HOST}\n",
        "51ed2dda787e6205e011b754c45912a09cf70cff",
        "f12c2da4502644d188da4e6d925a6d512d527f3e",
    ),
    "T10": from_sdk(
        "POST",
        "big.bin",
        f"post\n/big.bin\nuploads=&x-cos-security-token=TOK\nhost={HOST}\n",
        "920b6a5394c10b5cad1335c0aef7fc75fac418ba",
        "50cf6745aa19bb7f3f35ea566ea05a1d42a42411",
        params={"uploads": "", "x-cos-security-token": "TOK"},
    ),
}

VECTORS = {**OFFICIAL, **TOKENLESS, **WITH_TOKEN}


@pytest.mark.parametrize("stages", [pytest.param(stages, id=name) for name, stages in VECTORS.items()])
class TestStages:
    """Each stage function gives what is published for that stage."""

    def test_sign_key(self, stages: Stages) -> None:
        """SignKey is the published one."""
        assert signing.sign_key(stages.secret_key, stages.key_time) == stages.sign_key

    def test_http_string(self, stages: Stages) -> None:
        """HttpString is the published text."""
        _, parameters = signing.pair_list(stages.params)
        _, headers = signing.pair_list(stages.headers)
        assert signing.http_string(stages.method, stages.key, parameters, headers) == stages.http_string

    def test_string_to_sign(self, stages: Stages) -> None:
        """StringToSign holds the window and the published hash of HttpString."""
        assert (
            signing.string_to_sign(stages.key_time, stages.http_string) == f"sha1\n{stages.key_time}\n{stages.sha1}\n"
        )

    def test_signature(self, stages: Stages) -> None:
        """SignKey's hex text over StringToSign gives the published signature."""
        key = signing.sign_key(stages.secret_key, stages.key_time).encode()
        text = signing.string_to_sign(stages.key_time, stages.http_string).encode()
        assert hmac.digest(key, text, "sha1").hex() == stages.signature


@pytest.mark.parametrize("name", WITH_TOKEN)
def test_signature_in_url(name: str) -> None:
    """A signer puts the published signature into the URL, and the token after the caller's parameters."""
    stages = WITH_TOKEN[name]
    params = dict(stages.params)
    signer = Signer(SECRET_ID, SECRET_KEY, params.pop("x-cos-security-token"))
    window = HOUR if name == "T9" else WINDOW
    url = signer.presigned_url(Request(stages.method, BASE_URL, stages.key, stages.headers, params), window)
    assert f"&q-signature={stages.signature}&" in url


FIELDS = (
    "?q-sign-algorithm=sha1&q-ak=AKIDEXAMPLE0000000000000000000000000"
    "&q-sign-time=1699999940%3B1700000300&q-key-time=1699999940%3B1700000300&q-header-list=host&q-url-param-list="
)


@pytest.mark.parametrize(
    ("method", "key", "params", "url"),
    [
        pytest.param(
            "GET",
            "dir/a.txt",
            T7_PARAMS,
            f"{BASE_URL}/dir/a.txt{FIELDS}response-content-disposition%3Bx-cos-security-token"
            "&q-signature=9a033f0ea42bcd278c882ef04969ba6b8b1e693b"
            "&response-content-disposition=attachment%3B+filename%3D%22%E6%B5%8B+%E8%AF%95.txt%22"
            "&x-cos-security-token=TOK",
            id="T7",
        ),
        # T3, T5 and T13 are published without a token: these are the SDK's URLs for their keys with the token TOK.
        pytest.param(
            "GET",
            "a/./b/../c//d.txt",
            {},
            f"{BASE_URL}/a/.%2Fb/..%2Fc//d.txt{FIELDS}x-cos-security-token"
            "&q-signature=01ca4204aa2ea7c845068f0d8ca83c4513b481d2&x-cos-security-token=TOK",
            id="T5",
        ),
        pytest.param(
            "PUT",
            "目录/a b+c~d'(e)!*.txt",
            {},
            f"{BASE_URL}/%E7%9B%AE%E5%BD%95/a%20b%2Bc~d%27%28e%29%21%2A.txt{FIELDS}x-cos-security-token"
            "&q-signature=2bd2eacb84d85af3199b806cf8f7a5e1d00a7dbf&x-cos-security-token=TOK",
            id="T3",
        ),
        pytest.param(
            "GET",
            "a%20b?x=1&y#z",
            {},
            f"{BASE_URL}/a%2520b%3Fx%3D1%26y%23z{FIELDS}x-cos-security-token"
            "&q-signature=5118751e7abe542d8a93772e9cdefe69a60136d2&x-cos-security-token=TOK",
            id="T13",
        ),
    ],
)
def test_whole_url(method: str, key: str, params: dict[str, str], url: str) -> None:
    """A URL is the official SDK's, byte for byte."""
    signer = Signer(SECRET_ID, SECRET_KEY, "TOK")
    assert signer.presigned_url(Request(method, BASE_URL, key, {"Host": HOST}, params), WINDOW) == url


def test_token_alone() -> None:
    """A URL without parameters of its own has the token as its one signed parameter."""
    request = Request("GET", BASE_URL, "dir/a.txt", {"Host": HOST}, {})
    url = Signer(SECRET_ID, SECRET_KEY, "TOKEN_abc-123").presigned_url(request, WINDOW)
    assert url == (
        f"{BASE_URL}/dir/a.txt{FIELDS}x-cos-security-token"
        "&q-signature=9df4dadd1919b6ce665d237b40f58adc8eb2a9d8&x-cos-security-token=TOKEN_abc-123"
    )


def test_authorization() -> None:
    """The Authorization value is the official SDK's `get_auth`: the token is a signed header, no parameter."""
    request = Request("PUT", BASE_URL, "dir/a.txt", {"Content-Type": "image/png", "Host": HOST}, {"b c": "1"})
    assert Signer(SECRET_ID, SECRET_KEY, "a+b/c==").authorization(request, WINDOW) == (
        "q-sign-algorithm=sha1&q-ak=AKIDEXAMPLE0000000000000000000000000"
        "&q-sign-time=1699999940;1700000300&q-key-time=1699999940;1700000300"
        "&q-header-list=content-type;host;x-cos-security-token&q-url-param-list=b%20c"
        "&q-signature=6bb7e477f5bbcbd171378a6dc0dca0bfa84e0d62"
    )


def test_windows_in_turn() -> None:
    """A signer that goes from one window to another and back signs each ask for its own."""
    signer = Signer(SECRET_ID, SECRET_KEY, "TOK")
    request = Request("GET", BASE_URL, "dir/a.txt", {"Host": HOST}, {})
    later = Window(1699999940, 1700000900)
    urls = [signer.presigned_url(request, window) for window in (WINDOW, WINDOW, later, WINDOW)]
    five_minutes = (
        f"{BASE_URL}/dir/a.txt{FIELDS}x-cos-security-token"
        "&q-signature=23bb24596c6390e2a2ed4edb108d23982f2e0764&x-cos-security-token=TOK"
    )
    fifteen_minutes = (
        f"{BASE_URL}/dir/a.txt{FIELDS.replace('3B1700000300', '3B1700000900')}x-cos-security-token"
        "&q-signature=097e002a2a5f0ca59b979884b76d8faefd4c2317&x-cos-security-token=TOK"
    )
    assert urls == [five_minutes, five_minutes, fifteen_minutes, five_minutes]


def test_inputs_after_signing() -> None:
    """Signing leaves the caller's headers and parameters as they were."""
    headers, params = {"Host": HOST}, {"versionId": "1"}
    request = Request("GET", BASE_URL, "a", headers, params)
    signer = Signer(SECRET_ID, SECRET_KEY, "TOK")
    signer.presigned_url(request, WINDOW)
    signer.authorization(request, WINDOW)
    assert (headers, params) == ({"Host": HOST}, {"versionId": "1"})


def test_repr() -> None:
    """A signer's repr names the credential by its last characters and shows no secret."""
    signer = Signer("AKIDEXAMPLE0000000000000000000abcdef", SECRET_KEY, "TOKEN_abc-123")
    request = Request("GET", BASE_URL, "dir/a.txt", {"Host": HOST}, {})
    signer.presigned_url(request, WINDOW)
    assert repr(signer) == "Signer(…abcdef)"
    assert str(signer) == "Signer(…abcdef)"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("", ""),
        ("AZaz09-_.~", "AZaz09-_.~"),
        (" ", "%20"),
        ("+", "%2B"),
        ("/", "%2F"),
        ("%", "%25"),
        ("!'()*", "%21%27%28%29%2A"),
        (":?#[]@$&,;=", "%3A%3F%23%5B%5D%40%24%26%2C%3B%3D"),
        ("é", "%C3%A9"),
        ("腾", "%E8%85%BE"),
        ("🎈", "%F0%9F%8E%88"),
        ("\n", "%0A"),
        ("/" * 79, "%2F" * 79),
        ("/" * 80, "%2F" * 80),
    ],
)
def test_encoded_value(value: str, encoded: str) -> None:
    """A value keeps only unreserved characters; the rest is upper-case hex, however long it is."""
    assert signing.encode(value) == encoded


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("", ""),
        ("dir/a.txt", "dir/a.txt"),
        ("/dir", "/dir"),
        ("a b+c", "a%20b%2Bc"),
        ("..", ".."),
        ("../a", "..%2Fa"),
        ("./", ".%2F"),
        ("a./b", "a.%2Fb"),
        ("/./a/../b", "/.%2Fa/..%2Fb"),
        ("a/.b", "a/.b"),
        ("~!'()*", "~%21%27%28%29%2A"),
        ("100%", "100%25"),
        ("é", "%C3%A9"),
    ],
)
def test_encoded_key(key: str, path: str) -> None:
    """A key keeps its slashes in a URL, but no client can find a dot segment to remove."""
    assert signing.encode_key(key) == path


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, ""),
        ({"uploads": ""}, "&uploads="),
        ({"b": "1", "A": "2"}, "&b=1&A=2"),
        ({"a b": "c d"}, "&a+b=c+d"),
        ({"a[0]": "x+y&z"}, "&a%5B0%5D=x%2By%26z"),
    ],
)
def test_query(params: dict[str, str], text: str) -> None:
    """Parameters keep their order and case in a URL, with a space as `+`."""
    assert signing.query(params) == text


@pytest.mark.parametrize(
    ("pairs", "joined", "quoted", "text"),
    [
        pytest.param({}, "", "", "", id="none"),
        pytest.param({"B": "2", "a": "1"}, "a;b", "a%3Bb", "a=1&b=2", id="case"),
        pytest.param({"a-b": "1", "a": "2"}, "a;a-b", "a%3Ba-b", "a=2&a-b=1", id="prefix"),
        pytest.param({"[": "1", "A": "2"}, "%5b;a", "%255b%3Ba", "%5b=1&a=2", id="sorted as encoded"),
        pytest.param({"É": "É"}, "%c3%89", "%25c3%2589", "%c3%89=%C3%89", id="hex case"),
    ],
)
def test_pair_list(pairs: dict[str, str], joined: str, quoted: str, text: str) -> None:
    """Names are encoded, lower case and sorted as encoded; values keep upper-case hex."""
    names, joined_pairs = signing.pair_list(pairs)
    assert (names.joined, names.quoted, joined_pairs) == (joined, quoted, text)


def test_same_names_other_values() -> None:
    """Two requests with the same names sign their own values."""
    assert signing.pair_list({"a": "1", "b": "2"})[1] == "a=1&b=2"
    assert signing.pair_list({"a": "3", "b": "4"})[1] == "a=3&b=4"
    assert signing.pair_list({"b": "5", "a": "6"})[1] == "a=6&b=5"


def test_long_values_are_not_kept() -> None:
    """No session token stays behind in what is remembered of pairs, and nothing that is as long."""

    def kept() -> tuple[int, int]:
        return signing._pair.cache_info().currsize, signing._encode_word.cache_info().currsize

    before = kept()
    for name in ("x-cos-security-token", "host"):
        assert signing.pair_list({name: "secret-" * 20})[1] == f"{name}={'secret-' * 20}"
    assert kept() == before
