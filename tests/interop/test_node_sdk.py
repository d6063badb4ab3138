"""The vendor's Node SDK, unchanged, with temporary keys that a running broker hands out."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
MINE, OTHERS = "files/u1/a.txt", "files/u2/a.txt"
DENIED = (403, "AccessDenied")
Step = dict[str, Any]


def put(key: str, body: str = "x", **more: object) -> Step:
    """A step that uploads."""
    return {"do": "putObject", "Key": key, "Body": body, **more}


def copy(source: str) -> Step:
    """A step that copies to a key of u1."""
    place = f"{BUCKET}.cos.{REGION}.myqcloud.com"
    return {"do": "putObjectCopy", "Key": "files/u1/copy.txt", "CopySource": f"{place}/{source}"}


@pytest.fixture(params=["callback", "options"])
def node(request, vend, place) -> Callable[..., list[dict[str, Any]]]:
    """What the SDK makes of some steps, one after the other; it takes the keys in either of two ways."""

    def node(*steps: Step, user: str = "u1", route: str = "user-folder") -> list[dict[str, Any]]:
        grant = vend(f"{route}/credentials", user=user)
        work = {"grant": grant, "domain": place, "keys": request.param, "steps": steps}
        done = subprocess.run(
            ["node", Path(__file__).parent / "node_sdk.js"],
            input=json.dumps(work),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    return node


def codes(results: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Status and code of each result."""
    return [(result["status"], result.get("code", "")) for result in results]


def test_own_folder(node):
    """The SDK puts, gets, gets a part, heads and deletes below it, whatever the name."""
    key = "files/u1/目录/a b+c~d'(e)!*.txt"
    at = {"Key": key}
    results = node(
        put(key, "hello" * 100, ContentType="text/plain"),
        {"do": "getObject", **at},
        {"do": "getObject", **at, "Range": "bytes=5-9"},
        {"do": "headObject", **at},
        {"do": "deleteObject", **at},
        {"do": "headObject", **at},
    )
    assert [result["status"] for result in results] == [200, 200, 206, 200, 204, 404]
    assert [results[1]["body"], results[2]["body"]] == ["hello" * 100, "hello"]
    assert results[3]["headers"]["content-length"] == "500"


@pytest.mark.parametrize("owner", ["u2", "u10"])
def test_other_folder(node, owner):
    """Nothing of another user's is reached, not even where the name begins alike; its owner's keys reach it."""
    at = {"Key": f"files/{owner}/a.txt"}
    steps = [put(at["Key"], "changed"), *({"do": f"{verb}Object", **at} for verb in ("get", "head", "delete"))]
    assert codes(node(put(at["Key"], "theirs"), user=owner)) == [(200, "")]
    refused = node(*steps)
    assert [result["status"] for result in refused] == [403] * 4
    assert [refused[index]["code"] for index in (0, 1, 3)] == ["AccessDenied"] * 3  # a HEAD's refusal has no body
    assert node(steps[1], user=owner)[0]["body"] == "theirs"
    assert codes(node(*steps, user=owner)) == [(200, ""), (200, ""), (200, ""), (204, "")]


def test_other_operations(node):
    """What the route does not vend is refused inside the folder, too; what it vends is not."""
    at = {"Key": MINE}
    pairs = [
        ({"do": "getBucket", "Prefix": "files/u1/"}, {"do": "getObject", **at}),
        ({"do": "getObjectAcl", **at}, {"do": "getObject", **at}),
        ({"do": "putObjectAcl", **at, "ACL": "default"}, put(MINE)),
        (put(MINE, ACL="public-read"), put(MINE, ACL="default")),
        (put(MINE, GrantRead='id="100000000001"'), put(MINE)),
        ({"do": "multipartInit", **at}, put(MINE)),
        ({"do": "deleteMultipleObject", "Objects": [at]}, {"do": "deleteObject", **at}),
    ]
    _, *results = codes(node(put(MINE), *(step for pair in pairs for step in pair)))
    for (refused, allowed), denial, success in zip(pairs, results[::2], results[1::2], strict=True):
        assert denial == DENIED, refused
        assert success in ((200, ""), (204, "")), allowed


def test_copy_source(node):
    """A copy reads its source: another user's is refused, one's own is allowed."""
    assert codes(node(put(OTHERS), user="u2")) == [(200, "")]
    # The emulator copies nothing, and says so only to those who may copy.
    assert codes(node(put(MINE), copy(OTHERS), copy(MINE))) == [(200, ""), DENIED, (501, "NotImplemented")]


def test_size(node):
    """`max_bytes` is the last size that COS takes."""
    assert codes(node(put(MINE, "x" * 1001), put(MINE, "x" * 1000), route="small-folder")) == [DENIED, (200, "")]
