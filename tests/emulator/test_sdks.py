"""The official SDKs, unchanged, over a real socket and the real clock."""

import json
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
