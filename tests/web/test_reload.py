"""Policies that change while callers ask."""

from __future__ import annotations

import json
import shutil
import threading

import pytest

from broker.identity.api_keys import new_api_key
from tests.web.test_metrics import values, watcher  # noqa: F401  a fixture

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}


@pytest.fixture
def folder(tmp_path, policies):
    """A copy of the policies that a test may change."""
    return shutil.copytree(policies, tmp_path / "policies")


@pytest.fixture
def change(folder):
    """Writes a policy file anew, in one step: members of an object, or a text."""

    def write(name: str, changes: dict | str) -> None:
        file = folder / f"{name}.json"
        whole = changes if isinstance(changes, str) else json.dumps({**json.loads(file.read_text()), **changes})
        (folder / "new").write_text(whole)
        (folder / "new").replace(file)

    return write


@pytest.fixture
def door(open_door, folder, watcher):  # noqa: F811
    """A broker with policies of its own."""
    return open_door(BROKER_POLICIES=str(folder), BROKER_API_KEYS=watcher[0])


@pytest.fixture
def look(door):
    """Has the broker look at its folder now, as it does once a second."""
    return door.app.extensions["broker"].refresh_policies


def readiness(door):
    """(degraded, reload, generation) of /readyz, and its status."""
    answer = door.client.get("/readyz")
    return answer.status_code, *(answer.json[name] for name in ("degraded", "reload", "policies_generation"))


def test_unsound_keys(open_door, tmp_path):
    """A file of API keys that cannot be used as it stands is told, too; what was good is in use meanwhile."""
    entry, key = new_api_key("one", acts_for="u[0-9]")
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**entry, "claims": {"scope": "avatars:write"}}]}))
    good = path.read_text()
    door = open_door(BROKER_API_KEYS=str(path))
    path.write_text("{")
    door.clock.tick(1)
    assert readiness(door)[1:3] == (True, False)
    door.grant("avatars/url", AVATAR, by={"Authorization": f"Bearer {key}", "X-Principal": "u1"})
    path.write_text(good)
    door.clock.tick(1)
    assert readiness(door)[1:3] == (False, True)


def test_sound_change(door, change, look):
    """What a policy no longer permits is refused at once, what it permits now is granted."""
    assert door.ask("avatars/url", AVATAR).status_code == 200
    change("avatars", {"content": {"types": ["image/png"], "max_bytes": 8}, "tests": []})
    look()
    assert door.ask("avatars/url", AVATAR).json["code"] == "content_too_large"
    change("avatars", {"content": {"types": ["image/png"], "max_bytes": 9}, "tests": []})
    look()
    assert door.ask("avatars/url", AVATAR).status_code == 200
    assert readiness(door) == (200, False, True, 3)


def test_changed_document(door, change, look):
    """A changed CAM document is another credential; a change that leaves it as it is costs no call of STS."""
    door.grant("avatars/url", AVATAR)
    change("avatars", {"description": "Other words.", "expires": {"default_seconds": 200, "max_seconds": 900}})
    look()
    assert door.grant("avatars/url", AVATAR)["expires_in"] == 200
    assert door.sts_calls() == 1
    change("avatars", {"content": {"types": ["image/png"], "max_bytes": 4096}})
    look()
    door.grant("avatars/url", AVATAR)
    assert door.sts_calls() == 2


def test_added_and_removed(door, folder, change, look):
    """A new file opens a route, a removed one closes it; `GET /v1` follows."""
    change("more", (folder / "avatars.json").read_text())
    (folder / "reports.json").unlink()
    look()
    assert door.ask("more/url", AVATAR).status_code == 200
    assert door.ask("reports/download-url", {"inputs": {"month": "2026-01"}}).json["code"] == "route_not_found"
    names = [route["route"] for route in door.client.get("/v1", headers=door.bearer()).json["routes"]]
    assert ("more" in names, "reports" in names) == (True, False)


def test_invalid_change(door, folder, change, look, watcher):  # noqa: F811
    """An invalid file keeps the last good version: told by /readyz without its name, and by metric and log with it."""
    good = json.dumps({**json.loads((folder / "avatars.json").read_text()), "description": "Good."})
    change("avatars", '{"vends": ["url"],\n "bucket": ')
    change("avatar-download", {"description": "New."})
    look()
    assert door.ask("avatars/url", AVATAR).status_code == 200
    assert readiness(door) == (200, True, False, 2)
    assert "avatars" not in door.client.get("/readyz").text
    metrics = values(door.client.get("/metrics", headers=watcher[1]).text)
    assert (metrics["broker_policy_problems"], metrics["broker_policies_generation"]) == (1, 2)
    change("avatars", good)
    look()
    assert readiness(door) == (200, False, True, 3)
    metrics = values(door.client.get("/metrics", headers=watcher[1]).text)
    assert (metrics["broker_policy_problems"], metrics["broker_policies_generation"]) == (0, 3)


def test_removed_beside_an_invalid_one(door, folder, change, look):
    """A removed file closes its route whatever else fails."""
    change("avatars", "{")
    (folder / "reports.json").unlink()
    look()
    assert door.ask("reports/download-url", {"inputs": {"month": "2026-01"}}).json["code"] == "route_not_found"
    assert door.ask("avatars/url", AVATAR).status_code == 200


def test_hundred_reloads(door, change, look):
    """While policies change a hundred times, every ask gets its grant, by the rules of before or after a change."""
    ended, answers = threading.Event(), []

    def ask(name: str, body: dict) -> None:
        client, headers = door.app.test_client(), door.bearer()
        while not ended.is_set():
            answer = client.post(f"/v1/{name}", json=body, headers=headers)
            answers.append((answer.status_code, (answer.json or {}).get("expires_in")))

    people = [threading.Thread(target=ask, args=("avatars/url", AVATAR)) for _ in range(3)]
    people.append(threading.Thread(target=ask, args=("private-files/download-url", {"inputs": {"path": "a/b"}})))
    for thread in people:
        thread.start()
    for number in range(100):
        # Every third is not sound; it changes nothing.
        expires = {"default_seconds": 100 + number, "max_seconds": 900 if number % 3 else 5}
        change("avatars", {"expires": expires})
        look()
    ended.set()
    for thread in people:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert {seconds for _, seconds in answers} <= {100 + number for number in range(100) if number % 3} | {300}
    assert len(answers) > 200
    assert door.app.extensions["broker"].readiness().policies_generation == 67
