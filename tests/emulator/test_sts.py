"""What STS issues, and what it refuses."""

import json
from urllib.parse import quote

import pytest

ROLE = {"RoleArn": "qcs::cam::uin/100000000001:roleName/uploader", "RoleSessionName": "broker"}


def federation(document, **more):
    """Parameters of GetFederationToken."""
    return {"Name": "broker", "Policy": quote(json.dumps(document)), **more}


def code(answer):
    """STS's error code, or "ok"."""
    return answer["Error"]["Code"] if "Error" in answer else "ok"


class TestAnswer:
    """What the account's own key gets."""

    def test_federation_token(self, world):
        """A credential has the sizes of real ones and names the second in which it ends, on the emulator's clock."""
        answer = world.sts("GetFederationToken", federation(world.document("PutObject"), DurationSeconds=900))
        given = answer["Credentials"]
        assert (len(given["Token"]), len(given["TmpSecretId"]), len(given["TmpSecretKey"])) == (560, 68, 44)
        assert given["TmpSecretId"].startswith("AKID")
        assert (answer["ExpiredTime"], answer["Expiration"]) == (1_700_000_900, "2023-11-14T22:28:20Z")
        assert answer["RequestId"]

    def test_default_lifetimes(self, world):
        """1800 seconds for GetFederationToken, 7200 for AssumeRole."""
        answer = world.sts("GetFederationToken", federation(world.document("PutObject")))
        assert answer["ExpiredTime"] == 1_700_001_800
        assert world.sts("AssumeRole", ROLE)["ExpiredTime"] == 1_700_007_200

    def test_date_header(self, world):
        """`Date` is the emulator's clock, so that a caller can read its own skew."""
        world.clock.tick(40)
        assert world.http.post("/", json={}).headers["Date"] == "Tue, 14 Nov 2023 22:14:00 GMT"

    @pytest.mark.parametrize(
        ("action", "seconds", "expected"),
        [
            ("GetFederationToken", 129_600, "ok"),
            ("GetFederationToken", 129_601, "InvalidParameter.OverTimeError"),
            ("AssumeRole", 43_200, "ok"),
            ("AssumeRole", 43_201, "InvalidParameter.OverTimeError"),
            ("AssumeRole", 1, "ok"),
            ("AssumeRole", 0, "InvalidParameter.ParamError"),
            ("AssumeRole", "soon", "InvalidParameter.ParamError"),
            ("AssumeRole", True, "InvalidParameter.ParamError"),
        ],
    )
    def test_duration(self, world, action, seconds, expected):
        """A lifetime up to the action's limit is granted as asked, a longer one is refused and never shortened."""
        parameters = ROLE if action == "AssumeRole" else federation(world.document("PutObject"))
        assert code(world.sts(action, parameters | {"DurationSeconds": seconds})) == expected

    @pytest.mark.parametrize(
        ("action", "change", "expected"),
        [
            ("GetFederationToken", {}, "ok"),
            ("GetFederationToken", {"Policy": ""}, "MissingParameter"),
            ("GetFederationToken", {"Policy": "{"}, "InvalidParameter.StrategyFormatError"),
            ("GetFederationToken", {"Policy": {"version": "2.0"}}, "InvalidParameter.StrategyFormatError"),
            ("GetFederationToken", {"Name": ""}, "MissingParameter"),
            ("GetFederationToken", {"Nmae": "x"}, "UnknownParameter"),
            ("GetFederationToken", {"RoleArn": ROLE["RoleArn"]}, "UnknownParameter"),
            ("AssumeRole", {}, "ok"),
            ("AssumeRole", {"RoleArn": "qcs::cam::uin/100000000001:role/4611686018427397919"}, "ok"),
            ("AssumeRole", {"RoleArn": "uploader"}, "InvalidParameter.ParamError"),
            ("AssumeRole", {"RoleSessionName": "b"}, "InvalidParameter.ParamError"),
            ("AssumeRole", {"ExternalId": "tenant-7"}, "ok"),
            ("AssumeRole", {"ExternalId": "tenant 7"}, "InvalidParameter.ParamError"),
            ("AssumeRole", {"Policy": ""}, "InvalidParameter.StrategyFormatError"),
            ("GetSessionToken", {}, "InvalidAction"),
        ],
    )
    def test_parameters(self, world, action, change, expected):
        """Each refusal has STS's code; its twin, which differs in one parameter, is granted."""
        start = ROLE if action == "AssumeRole" else federation(world.document("PutObject"))
        assert code(world.sts(action, start | change)) == expected

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, "ok"),
            ({"X-TC-Version": "2017-03-12"}, "NoSuchVersion"),
            ({"X-TC-Region": ""}, "MissingParameter"),
            ({"Authorization": "TC3-HMAC-SHA256 x"}, "AuthFailure.InvalidAuthorization"),
            ({"X-TC-Token": "abc"}, "AuthFailure.TokenFailure"),
            ({"X-TC-Timestamp": "yesterday"}, "InvalidParameter"),
            ({"Content-Type": "text/plain"}, "AuthFailure.SignatureFailure"),
        ],
    )
    def test_common_headers(self, world, headers, expected):
        """What stands around the parameters is checked, too."""
        assert code(world.sts("AssumeRole", ROLE, **headers)) == expected

    @pytest.mark.parametrize(
        ("skew", "expected"), [(300, "ok"), (-300, "ok"), (301, "SignatureExpire"), (-301, "SignatureExpire")]
    )
    def test_skew(self, world, skew, expected):
        """A caller's clock may be off by 300 seconds."""
        answer = world.sts("AssumeRole", ROLE, dated=1_700_000_000 + skew)
        assert code(answer).removeprefix("AuthFailure.") == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("AssumeRole", "ok"), ("assumerole", "ok"), ("GetFederationToken", "AuthFailure.SignatureFailure")],
    )
    def test_signed_action(self, world, value, expected):
        """More headers may be signed, in the case they are sent in or, as the specification has it, in lower case."""
        assert code(world.sts("AssumeRole", ROLE, also_signed={"x-tc-action": value})) == expected

    def test_unknown_secret_id(self, world):
        """A stranger's key is refused."""
        stranger = type(world.account)("AKIDSTRANGER", world.account.secret_key)
        assert code(world.sts("AssumeRole", ROLE, by=stranger)) == "AuthFailure.SecretIdNotFound"

    def test_wrong_secret_key(self, world):
        """Knowing the SecretId alone is not enough."""
        forger = type(world.account)(world.account.secret_id, "guessed")
        assert code(world.sts("AssumeRole", ROLE, by=forger)) == "AuthFailure.SignatureFailure"


class TestTemporaryCaller:
    """What a key gets that STS issued itself."""

    def test_federation_token(self, world):
        """GetFederationToken takes permanent keys only."""
        document = world.document("PutObject")
        temporary = world.federate(document)
        answer = world.sts("GetFederationToken", federation(document), by=temporary)
        assert code(answer) == "FailedOperation.TempKeyNotAllowed"

    def test_assume_role(self, world):
        """AssumeRole takes a temporary key, but only with its own token."""
        first, second = world.federate(world.document("PutObject")), world.federate(world.document("PutObject"))
        mixed = type(first)(first.secret_id, first.secret_key, second.token)
        bare = type(first)(first.secret_id, first.secret_key)
        assert code(world.sts("AssumeRole", ROLE, by=first)) == "ok"
        assert code(world.sts("AssumeRole", ROLE, by=mixed)) == "AuthFailure.TokenFailure"
        assert code(world.sts("AssumeRole", ROLE, by=bare)) == "AuthFailure.TokenFailure"

    def test_expired(self, world):
        """It works in its last second and not in the next."""
        temporary = world.federate(world.document("PutObject"), 900)
        world.clock.tick(899)
        assert code(world.sts("AssumeRole", ROLE, by=temporary)) == "ok"
        world.clock.tick(1)
        assert code(world.sts("AssumeRole", ROLE, by=temporary)) == "AuthFailure.TokenFailure"

    def test_chain(self, world, error_code):
        """What a temporary key assumes never exceeds it, whatever its own policy says."""
        narrow = world.federate(world.document("PutObject", "GetObject", key="dir/*"))
        wide = quote(json.dumps(world.document("*", key="*")))
        assumed = world.key(world.sts("AssumeRole", ROLE | {"Policy": wide}, by=narrow))
        again = world.key(world.sts("AssumeRole", ROLE, by=assumed))
        for key in (assumed, again):
            assert world.send("PUT", "dir/a", by=key).status_code == 200
            assert error_code(world.send("PUT", "other/a", by=key)) == "AccessDenied"
            assert error_code(world.send("DELETE", "dir/a", by=key)) == "AccessDenied"

    def test_role_without_policy(self, world):
        """A role assumed with the account's key and no policy has all rights."""
        role = world.key(world.sts("AssumeRole", ROLE))
        assert world.send("PUT", "anywhere", by=role).status_code == 200
        assert world.send("DELETE", "anywhere", by=role).status_code == 204


def test_secrets_in_repr(world):
    """Nothing that a traceback or a log could show holds a secret."""
    answer = world.sts("AssumeRole", ROLE)["Credentials"]
    session = world.emulator._sessions.find(answer["TmpSecretId"])
    assert answer["TmpSecretKey"] not in repr(session)
    assert answer["Token"] not in repr(session)
