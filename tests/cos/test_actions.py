"""Requests in CAM's words."""

from __future__ import annotations

import pytest

from broker.cos import actions


@pytest.mark.parametrize(
    ("method", "key", "params", "action"),
    [
        ("GET", "a", [], "GetObject"),
        ("PUT", "a", [], "PutObject"),
        ("HEAD", "a", [], "HeadObject"),
        ("DELETE", "a", [], "DeleteObject"),
        ("POST", "a", [], "PostObject"),
        ("PUT", "a", ["acl"], "PutObjectACL"),
        ("GET", "a", ["ACL"], "GetObjectACL"),
        ("PUT", "a", ["partNumber", "uploadId"], "UploadPart"),
        ("PUT", "a", ["partNumber"], "UploadPart"),
        ("POST", "a", ["uploads"], "InitiateMultipartUpload"),
        ("DELETE", "a", ["uploadId"], "AbortMultipartUpload"),
        ("POST", "a", ["select", "select-type"], "GetObject"),
        ("GET", "a", ["versionId"], "GetObject"),
        ("GET", "a", ["response-content-type", "imageMogr2/thumbnail/200x"], "GetObject"),
        ("GET", "", [], "GetBucket"),
        ("GET", "", ["prefix", "max-keys"], "GetBucket"),
        ("HEAD", "", [], "HeadBucket"),
        ("GET", "", ["uploads"], "ListMultipartUploads"),
        ("GET", "", ["versions"], "GetBucketObjectVersions"),
        ("POST", "", ["delete"], "DeleteObject"),
        ("POST", "", [], "PostObject"),
        ("GET", "", ["Prefix", "Max-Keys"], "GetBucket"),
    ],
)
def test_action(method, key, params, action):
    """A method, its sub-resource and whether there is a key make the action; other parameters do not."""
    assert actions.action_of(method, key, params) == action


@pytest.mark.parametrize(("method", "params"), [("GET", ["torrent"]), ("PUT", ["uploads"]), ("GET", ["policy"])])
def test_unknown_sub_resource(method, params):
    """A sub-resource without an action of its own is never taken for the plain request."""
    assert actions.action_of(method, "a", params) not in ("GetObject", "PutObject")
    assert actions.special(params) == params[0]


def test_unknown_method():
    """COS has five methods."""
    with pytest.raises(ValueError, match="PATCH"):
        actions.action_of("PATCH", "a", [])


@pytest.mark.parametrize(
    ("method", "headers", "params", "values"),
    [
        ("PUT", {"content-type": "a/b", "content-length": "5", "range": "x"}, {},
         {"cos:content-type": "a/b", "cos:content-length": "5"}),
        ("POST", {"content-type": "a/b", "content-length": "5"}, {},
         {"cos:content-type": "a/b", "cos:content-length": "5"}),
        ("GET", {"content-type": "a/b", "x-cos-acl": "private"}, {"versionid": "v", "mode": "m"},
         {"cos:x-cos-acl": "private", "cos:versionid": "v"}),
        ("GET", {"x-cos-security-token": "secret"}, {"prefix": "a/", "response-content-type": "a/b"},
         {"cos:prefix": "a/", "cos:response-content-type": "a/b"}),
    ],
)  # fmt: skip
def test_condition_values(method, headers, params, values):
    """What conditions test is what the request carries, the token never."""
    assert actions.condition_values(method, headers, params) == values
