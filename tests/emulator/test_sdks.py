"""The official SDKs, unchanged, over a real socket and the real clock."""

import base64
import hashlib
import hmac
import json
import time
from urllib.parse import quote

import pytest
import requests
from qcloud_cos import CosConfig, CosS3Client, CosServiceError
from sts.sts import Sts
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813.models import AssumeRoleRequest, GetFederationTokenRequest
from tencentcloud.sts.v20180813.sts_client import StsClient

ACCOUNT = ("AKIDEXAMPLE", "SKEXAMPLE00000000000000000000000")
BUCKET = "examplebucket-1250000000"
REGION = "ap-guangzhou"
ACTIONS = [f"name/cos:{name}" for name in ("PutObject", "GetObject", "HeadObject", "DeleteObject")]
DOCUMENT = {
    "version": "2.0",
    "statement": [
        {
            "effect": "allow",
            "action": ACTIONS,
            "resource": [f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/dir/*"],
            "condition": {"numeric_less_than_equal_if_exist": {"cos:content-length": 5_000}},
        }
    ],
}


def sts_client(server, *secrets, **profile):
    """The official client, pointed at the emulator."""
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{server.port}", reqTimeout=5)
    return StsClient(Credential(*secrets), REGION, ClientProfile(httpProfile=http, **profile))


def cos_client(server, secret_id, secret_key, token=None, domain=None):
    """The official client, pointed at the emulator."""
    domain = domain or f"127.0.0.1:{server.port}"
    config = CosConfig(
        Region=REGION, SecretId=secret_id, SecretKey=secret_key, Token=token, Scheme="http", Domain=domain
    )
    return CosS3Client(config, retry=0)


def federation(policy=DOCUMENT):
    """A GetFederationToken request."""
    request = GetFederationTokenRequest()
    request.from_json_string(json.dumps({"Name": "broker", "Policy": quote(json.dumps(policy))}))
    return request


def role():
    """An AssumeRole request."""
    request = AssumeRoleRequest()
    request.RoleArn, request.RoleSessionName = "qcs::cam::uin/100000000001:roleName/uploader", "broker"
    return request


@pytest.fixture
def scoped(server):
    """A COS client with a federated credential for dir/*."""
    given = sts_client(server, *ACCOUNT).GetFederationToken(federation()).Credentials
    return cos_client(server, given.TmpSecretId, given.TmpSecretKey, given.Token)


class TestTencentCloudSdk:
    """tencentcloud-sdk-python-sts."""

    @pytest.mark.parametrize("method", ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"])
    def test_both_actions(self, server, method):
        """Each signature method works for each action."""
        client = sts_client(server, *ACCOUNT, signMethod=method)
        assert len(client.GetFederationToken(federation()).Credentials.Token) == 560
        assert client.AssumeRole(role()).ExpiredTime

    @pytest.mark.parametrize("method", ["TC3-HMAC-SHA256", "HmacSHA1"])
    def test_get(self, server, method):
        """So do calls by GET."""
        http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{server.port}", reqMethod="GET", reqTimeout=5)
        profile = ClientProfile(httpProfile=http, signMethod=method)
        assert StsClient(Credential(*ACCOUNT), REGION, profile).GetFederationToken(federation()).ExpiredTime

    def test_unsigned_payload(self, server):
        """And a payload that is not signed."""
        client = sts_client(server, *ACCOUNT)
        client.profile.unsignedPayload = True
        assert client.AssumeRole(role()).Credentials.TmpSecretId.startswith("AKID")

    @pytest.mark.parametrize("method", ["TC3-HMAC-SHA256", "HmacSHA1"])
    def test_temporary_caller(self, server, method):
        """A temporary key assumes a role, and cannot federate."""
        given = sts_client(server, *ACCOUNT).AssumeRole(role()).Credentials
        client = sts_client(server, given.TmpSecretId, given.TmpSecretKey, given.Token, signMethod=method)
        assert client.AssumeRole(role()).ExpiredTime
        with pytest.raises(TencentCloudSDKException) as refusal:
            client.GetFederationToken(federation())
        assert refusal.value.code == "FailedOperation.TempKeyNotAllowed"
        assert refusal.value.requestId

    @pytest.mark.parametrize("method", ["TC3-HMAC-SHA256", "HmacSHA1"])
    def test_wrong_key(self, server, method):
        """A wrong key is an exception with STS's code."""
        with pytest.raises(TencentCloudSDKException) as refusal:
            sts_client(server, ACCOUNT[0], "wrong", signMethod=method).AssumeRole(role())
        assert refusal.value.code == "AuthFailure.SignatureFailure"


class TestStsSdk:
    """qcloud-python-sts, which signs the older form."""

    def config(self, server, **more):
        """Its configuration, with the emulator's address."""
        return {
            "url": f"{server.url}/",
            "domain": f"127.0.0.1:{server.port}",
            "secret_id": ACCOUNT[0],
            "secret_key": ACCOUNT[1],
            "duration_seconds": 900,
            "bucket": BUCKET,
            "region": REGION,
            "allow_prefix": "dir/*",
            "allow_actions": ACTIONS,
        } | more

    def test_credential(self, server):
        """Its answer opens what it asked for."""
        answer = Sts(self.config(server)).get_credential()
        given = answer["credentials"]
        assert answer["expiredTime"] - answer["startTime"] == 900
        client = cos_client(server, given["tmpSecretId"], given["tmpSecretKey"], given["sessionToken"])
        assert client.put_object(BUCKET, b"x", "dir/a")["ETag"]
        with pytest.raises(CosServiceError, match="AccessDenied"):
            client.put_object(BUCKET, b"x", "other/a")

    def test_role_credential(self, server):
        """So does its role's."""
        answer = Sts(self.config(server)).get_role_credential("qcs::cam::uin/100000000001:roleName/uploader")
        assert answer["credentials"]["sessionToken"]

    def test_wrong_key(self, server):
        """A wrong key is its exception."""
        with pytest.raises(Exception, match=r"AuthFailure\.SignatureFailure"):
            Sts(self.config(server, secret_key="wrong")).get_credential()


class TestCosSdk:
    """cos-python-sdk-v5."""

    def test_round_trip(self, scoped):
        """Inside its scope a credential puts, gets, heads and deletes."""
        key, body = "dir/目录/a b+c~d'(e)!*.txt", b"hello" * 100
        put = scoped.put_object(
            BUCKET, body, key, EnableMD5=True, ContentType="text/plain", Metadata={"x-cos-meta-a": "b"}
        )
        got = scoped.get_object(BUCKET, key, ResponseContentType="image/png")
        assert got["Body"].get_raw_stream().read() == body
        assert (got["Content-Type"], got["x-cos-meta-a"], got["ETag"]) == ("image/png", "b", put["ETag"])
        assert scoped.get_object(BUCKET, key, Range="bytes=1-3")["Content-Range"] == "bytes 1-3/500"
        assert scoped.head_object(BUCKET, key)["Content-Length"] == "500"
        assert scoped.object_exists(BUCKET, key)
        scoped.delete_object(BUCKET, key)
        assert not scoped.object_exists(BUCKET, key)

    @pytest.mark.parametrize(
        "call",
        [
            lambda client: client.put_object(BUCKET, b"x", "other/a"),
            lambda client: client.put_object(BUCKET, b"x" * 5_001, "dir/a"),
            lambda client: client.get_object(BUCKET, "other/a"),
            lambda client: client.delete_object(BUCKET, "other/a"),
            lambda client: client.list_objects(BUCKET),
            lambda client: client.put_object_acl(BUCKET, "dir/a", ACL="public-read"),
            lambda client: client.create_multipart_upload(BUCKET, "dir/a"),
            lambda client: client.delete_objects(BUCKET, {"Object": [{"Key": "dir/a"}], "Quiet": "true"}),
            lambda client: client.copy_object(BUCKET, "dir/b", {"Bucket": BUCKET, "Key": "other/a", "Region": REGION}),
        ],
    )
    def test_outside(self, scoped, call):
        """Outside it, it is refused with a refusal that the SDK can read."""
        assert scoped.put_object(BUCKET, b"x", "dir/a")["ETag"]
        with pytest.raises(CosServiceError) as refusal:
            call(scoped)
        assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (403, "AccessDenied")
        assert refusal.value.get_request_id()
        assert refusal.value.get_trace_id() != "Unknown"

    def test_presigned_url(self, server, scoped):
        """Its pre-signed URLs work for a client that knows no SDK, and only as they are."""
        given = sts_client(server, *ACCOUNT).GetFederationToken(federation()).Credentials
        client = cos_client(server, given.TmpSecretId, given.TmpSecretKey)
        params = {"x-cos-security-token": given.Token}
        url = client.get_presigned_url(BUCKET, "dir/a", "PUT", Params=params, Headers={"x-cos-meta-a": "b"})
        assert requests.put(url, data=b"x", headers={"x-cos-meta-a": "b"}, timeout=5).status_code == 200
        assert "SignatureDoesNotMatch" in requests.put(url, data=b"x", headers={"x-cos-meta-a": "c"}, timeout=5).text
        download = client.get_presigned_download_url(BUCKET, "dir/a", Params=params)
        assert requests.get(download, timeout=5).content == b"x"

    def test_account_key(self, server):
        """The account's own key works too, on a host that names the bucket."""
        client = cos_client(server, *ACCOUNT, domain=f"{BUCKET}.localhost:{server.port}")
        url = client.get_presigned_url(BUCKET, "a", "PUT").replace(f"{BUCKET}.localhost", "127.0.0.1")
        headers = {"Host": f"{BUCKET}.localhost:{server.port}"}
        assert requests.put(url, data=b"x", headers=headers, timeout=5).status_code == 200


MULTIPART = """
PostObject InitiateMultipartUpload UploadPart ListParts CompleteMultipartUpload AbortMultipartUpload
""".split()


def whole_document(actions, *bucket_actions):
    """A document for objects below dir/ and, with actions for it, the bucket itself."""
    place = f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}"
    statements = [(actions, f"{place}/dir/*"), (bucket_actions, f"{place}/")]
    allow = [
        {"effect": "allow", "action": [f"name/cos:{name}" for name in names], "resource": [resource]}
        for names, resource in statements
        if names
    ]
    return {"version": "2.0", "statement": allow}


@pytest.fixture
def wide(server):
    """A COS client whose credential may upload in parts below dir/, and list."""
    objects = ["PutObject", "GetObject", "HeadObject", *MULTIPART]
    document = whole_document(objects, "GetBucket", "HeadBucket", "ListMultipartUploads")
    given = sts_client(server, *ACCOUNT).GetFederationToken(federation(document)).Credentials
    return cos_client(server, given.TmpSecretId, given.TmpSecretKey, given.Token)


@pytest.fixture
def film(tmp_path):
    """A file of 20 MiB and 5 bytes that does not repeat itself."""
    path = tmp_path / "film"
    path.write_bytes(b"".join(hashlib.sha512(str(index).encode()).digest() for index in range(327_680)) + b"films")
    return path


class TestMultipart:
    """cos-python-sdk-v5, in parts."""

    def test_file(self, server, wide, film):
        """A large file goes up in parts, several at once, and comes down as it was."""
        put = wide.upload_file(BUCKET, "dir/film", film, PartSize=3, MAXThread=4, EnableMD5=True, ContentType="a/b")
        assert put["ETag"].endswith('-7"')
        got = wide.get_object(BUCKET, "dir/film")
        assert got["Body"].get_raw_stream().read() == film.read_bytes()
        assert (got["ETag"], got["Content-Type"]) == (put["ETag"], "a/b")
        asked = server.stats()["cos"]
        assert (asked["InitiateMultipartUpload"], asked["UploadPart"], asked["CompleteMultipartUpload"]) == (1, 7, 1)

    def test_resumed(self, server, wide, film):
        """The SDK finds an unfinished upload, compares its parts and sends the others."""
        begun = wide.create_multipart_upload(BUCKET, "dir/film")["UploadId"]
        for number in (1, 3):
            body = film.read_bytes()[(number - 1) * 5 * 1024**2 :][: 5 * 1024**2]
            assert wide.upload_part(BUCKET, "dir/film", body, number, begun)["ETag"]
        wide.upload_file(BUCKET, "dir/film", film, PartSize=5)
        asked = server.stats()["cos"]
        assert (asked["InitiateMultipartUpload"], asked["UploadPart"], asked["ListParts"]) == (1, 2 + 3, 1)
        assert wide.get_object(BUCKET, "dir/film")["Body"].get_raw_stream().read() == film.read_bytes()

    def test_by_hand(self, wide):
        """The SDK reads every answer."""
        key = "dir/目录 &<b"
        upload = wide.create_multipart_upload(BUCKET, key)
        assert (upload["Bucket"], upload["Key"]) == (BUCKET, key)
        sent = wide.upload_part(BUCKET, key, b"hello", 1, upload["UploadId"], EnableMD5=True)
        listed = wide.list_parts(BUCKET, key, upload["UploadId"])
        assert listed["Key"] == key
        (part,) = listed["Part"]
        assert (part["PartNumber"], part["Size"], part["ETag"]) == ("1", "5", sent["ETag"])
        (found,) = wide.list_multipart_uploads(BUCKET, Prefix="dir/")["Upload"]
        assert (found["Key"], found["UploadId"]) == (key, upload["UploadId"])
        done = wide.complete_multipart_upload(BUCKET, key, upload["UploadId"], {"Part": [part]})
        assert (done["Key"], done["ETag"]) == (key, '"62109206880d38a4010a98e11243924a-1"')
        assert "Upload" not in wide.list_multipart_uploads(BUCKET)

    def test_abort(self, wide):
        """An aborted upload is a refusal afterwards."""
        upload = wide.create_multipart_upload(BUCKET, "dir/a")["UploadId"]
        wide.abort_multipart_upload(BUCKET, "dir/a", upload)
        with pytest.raises(CosServiceError) as refusal:
            wide.list_parts(BUCKET, "dir/a", upload)
        assert (refusal.value.get_status_code(), refusal.value.get_error_code()) == (404, "NoSuchUpload")

    def test_outside(self, wide, film):
        """Outside its scope a credential begins no upload."""
        with pytest.raises(CosServiceError, match="AccessDenied"):
            wide.upload_file(BUCKET, "other/film", film)


class TestListing:
    """cos-python-sdk-v5, looking around."""

    def test_objects(self, wide):
        """The SDK reads keys, prefixes and markers, however they are spelled."""
        keys = ["dir/a", "dir/b c", "dir/x/1", "dir/x/2", "dir/目录&<>"]
        for key in keys:
            wide.put_object(BUCKET, b"hello", key)
        listed = wide.list_objects(BUCKET)
        assert [one["Key"] for one in listed["Contents"]] == keys
        assert (listed["Contents"][0]["Size"], listed["IsTruncated"]) == ("5", "false")
        first = wide.list_objects(BUCKET, Prefix="dir/", Delimiter="/", MaxKeys=3)
        assert [one["Key"] for one in first["Contents"]] == keys[:2]
        assert ([one["Prefix"] for one in first["CommonPrefixes"]], first["NextMarker"]) == (["dir/x/"], "dir/x/")
        rest = wide.list_objects(BUCKET, Prefix="dir/", Delimiter="/", Marker=first["NextMarker"])
        assert [one["Key"] for one in rest["Contents"]] == keys[4:]
        assert "Contents" not in wide.list_objects(BUCKET, Prefix="none")

    def test_bucket(self, wide, scoped):
        """The SDK sees whether there is a bucket, if its credential may."""
        assert wide.head_bucket(BUCKET)["x-cos-bucket-region"] == REGION
        assert wide.bucket_exists(BUCKET)
        with pytest.raises(CosServiceError) as refusal:
            scoped.head_bucket(BUCKET)
        assert refusal.value.get_status_code() == 403


class TestForm:
    """A form that `requests` sends with a temporary key."""

    @pytest.fixture
    def form(self, server):
        """The fields for dir/*."""
        given = sts_client(server, *ACCOUNT).GetFederationToken(federation(whole_document(["PostObject"]))).Credentials
        now = int(time.time())
        key_time = f"{now - 60};{now + 300}"
        expiration = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now + 300))
        conditions = [{"q-sign-algorithm": "sha1"}, {"q-ak": given.TmpSecretId}, {"q-sign-time": key_time}]
        limits = [{"bucket": BUCKET}, ["starts-with", "$key", "dir/"], ["content-length-range", 1, 5]]
        text = json.dumps({"expiration": expiration, "conditions": conditions + limits})
        sign_key = hmac.new(given.TmpSecretKey.encode(), key_time.encode(), "sha1").hexdigest()
        digest = hashlib.sha1(text.encode()).hexdigest()
        return {
            "key": "dir/${filename}",
            "success_action_status": "200",
            "Content-Type": "image/png",
            "x-cos-security-token": given.Token,
            "policy": base64.b64encode(text.encode()).decode(),
            "q-sign-algorithm": "sha1",
            "q-ak": given.TmpSecretId,
            "q-key-time": key_time,
            "q-signature": hmac.new(sign_key.encode(), digest.encode(), "sha1").hexdigest(),
        }

    def test_form(self, server, form):
        """It uploads what its policy says."""
        answer = requests.post(server.url, data=form, files={"file": ("a b.png", b"hello")}, timeout=5)
        assert (answer.status_code, answer.headers["ETag"]) == (200, '"5d41402abc4b2a76b9719d911017c592"')
        assert answer.headers["Location"] == f"{server.url}/dir/a%20b.png"
        got = cos_client(server, *ACCOUNT).get_object(BUCKET, "dir/a b.png")
        assert (got["Body"].get_raw_stream().read(), got["Content-Type"]) == (b"hello", "image/png")

    @pytest.mark.parametrize(
        ("changed", "body", "code"),
        [
            ({}, b"hello!", "EntityTooLarge"),
            ({}, b"", "EntityTooSmall"),
            ({"key": "other/a"}, b"hello", "AccessDenied"),
            ({"q-signature": "0" * 40}, b"hello", "SignatureDoesNotMatch"),
            ({"x-cos-security-token": "x"}, b"hello", "InvalidAccessKeyId"),
        ],
    )
    def test_other_form(self, server, form, changed, body, code):
        """And nothing else."""
        files = {"file": ("a.png", body)}
        assert f"<Code>{code}</Code>" in requests.post(server.url, data=form | changed, files=files, timeout=5).text
        assert requests.post(server.url, data=form, files={"file": ("a.png", b"hello")}, timeout=5).ok
