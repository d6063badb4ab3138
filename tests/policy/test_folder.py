"""A folder of policy files as it changes: what is served, what is told, and what is kept."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from broker.errors import ConfigurationError, NotFound
from broker.policy.catalog import Folder
from broker.policy.limits import Limits

OTHER = {"bucket": "other-1250000000"}
LATER = 2**62  # a clock so late that every file has settled


class World:
    """A folder on disk and what was read of it."""

    def __init__(self, path: Path, policy, limits: Limits) -> None:
        self.path, self.policy, self.limits = path, policy, limits
        self.path.mkdir()

    def write(self, name: str, changes=None, base: str = "read") -> None:
        """Write a policy in one step, as editors and deployments do."""
        text = changes if isinstance(changes, str) else json.dumps(self.policy(base, changes or {}))
        new = self.path.parent / f"{name}.new"
        new.write_text(text)
        new.replace(self.path / f"{name}.json")

    def open(self, **limits) -> Folder:
        """The folder, loaded."""
        self.folder = Folder(self.path, Limits(self.limits.policy_bytes, **limits) if limits else self.limits)
        return self.folder

    def look(self, now_ns: int = LATER) -> tuple[list[str], list[tuple[str, str]], int]:
        """(routes, (file, field) of every problem, generation) after another look."""
        found = self.folder.refresh(now_ns)
        return sorted(found.routes), [(Path(one.source).name, one.field) for one in found.problems], found.generation


@pytest.fixture
def world(tmp_path, policy, limits) -> World:
    """A folder with two routes, loaded."""
    made = World(tmp_path / "policies", policy, limits)
    made.write("a")
    made.write("b")
    made.open()
    return made


class TestChanges:
    """Sound changes."""

    def test_nothing_changes(self, world):
        """The same folder is the same catalog, object for object."""
        before = world.folder.refresh(LATER)
        assert (before.generation, world.folder.refresh(LATER) is before) == (1, True)

    def test_added(self, world):
        """A new file is a new route; the others stay the very same."""
        before = dict(world.folder.catalog.routes)
        world.write("c")
        assert world.look() == (["a", "b", "c"], [], 2)
        assert all(world.folder.catalog.routes[name] is route for name, route in before.items())

    def test_changed(self, world):
        """A changed file is a changed route, and its untouched neighbour is not read again."""
        neighbour = world.folder.catalog.route("b")
        world.write("a", {"description": "new"})
        assert world.look() == (["a", "b"], [], 2)
        assert world.folder.catalog.route("a").document.description == "new"
        assert world.folder.catalog.route("b") is neighbour

    def test_removed(self, world):
        """A removed file closes its route."""
        (world.path / "a.json").unlink()
        assert world.look() == (["b"], [], 2)
        with pytest.raises(NotFound):
            world.folder.catalog.route("a")

    def test_touched(self, world):
        """A file that is written anew with what it held is the same route."""
        route = world.folder.catalog.route("a")
        world.write("a")
        assert world.look() == (["a", "b"], [], 1)
        assert world.folder.catalog.route("a") is route

    def test_same_size_and_time(self, world):
        """A change that keeps size and modification time is seen all the same."""
        world.look()
        file = world.path / "a.json"
        times = file.stat()
        world.write("a", {"key": "filez/{principal.sub}/{name}"})
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert file.stat().st_size == times.st_size
        assert world.look()[2] == 2

    def test_change_within_a_tick(self, world):
        """A file written twice within one tick of the file system's clock is read until it has settled."""
        file = world.path / "a.json"
        now = time.time_ns()
        world.write("a", {"description": "1"})
        world.look(now)
        signature = file.stat()
        text = file.read_text().replace('"1"', '"2"')
        with file.open("r+") as handle:  # in place: the same inode and size
            handle.write(text)
        os.utime(file, ns=(signature.st_atime_ns, signature.st_mtime_ns))
        world.look(now)
        assert world.folder.catalog.route("a").document.description == "2"

    def test_same_size_and_time_in_place(self, world):
        """So is one in place: what no program can set back is the time of the change itself."""
        world.look()
        file = world.path / "a.json"
        before = file.stat()
        while file.stat().st_ctime_ns == before.st_ctime_ns:
            file.write_text(file.read_text().replace("files/", "filez/"))
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = file.stat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
        assert world.look()[2] == 2

    @pytest.mark.parametrize(("age_ns", "reads"), [(0, 3), (2_000_000_000, 3), (2_000_000_001, 2)])
    def test_settling(self, world, age_ns, reads):
        """Until two seconds after its change, whatever its modification time, a file is read at each look; then not."""
        opened = []

        class Watched(type(world.path)):
            def open(self, *arguments, **options):
                opened.append(self.name)
                return super().open(*arguments, **options)

        (world.path / "b.json").unlink()
        os.utime(world.path / "a.json", ns=(0, 0))
        changed_ns = (world.path / "a.json").stat().st_ctime_ns
        folder = Folder(Watched(world.path), world.limits)
        for _ in range(2):
            folder.refresh(changed_ns + age_ns)
        assert opened == ["a.json"] * reads
        assert folder.catalog.generation == 1

    def test_old_catalog(self, world):
        """Who holds a catalog keeps it whole, whatever comes after."""
        held = world.folder.catalog
        (world.path / "a.json").unlink()
        world.write("b", {"description": "new"})
        world.look()
        assert sorted(held.routes) == ["a", "b"]
        assert held.route("b").document.description == ""


class TestMistakes:
    """Changes that are not sound."""

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ("{", ""),
            ("", ""),
            ({"region": "x"}, "region"),
            ({"rate": "0/minute"}, "rate"),
            ({"tests": [{"ask": {"vend": "url"}, "expect": "granted"}]}, "tests[0]"),
            ({"key": "${POLICY_NONE}/a"}, "key"),
        ],
    )
    def test_invalid_file(self, world, wrong, field):
        """It keeps its route's last good version and is told; a good version ends that."""
        route = world.folder.catalog.route("a")
        world.write("a", wrong)
        assert world.look() == (["a", "b"], [("a.json", field)], 1)
        assert world.folder.catalog.route("a") is route
        assert world.look() == (["a", "b"], [("a.json", field)], 1)
        world.write("a", {"description": "good"})
        assert world.look() == (["a", "b"], [], 2)
        assert world.folder.catalog.route("a").document.description == "good"

    def test_warnings(self, world):
        """While the last good version is served, its warnings stand."""
        world.write("a", base="upload")
        world.look()
        warnings = world.folder.catalog.warnings
        assert [one.field for one in warnings] == ["headers.x-cos-forbid-overwrite"]
        world.write("a", {"bucket": "x"}, base="upload")
        assert world.look()[1] == [("a.json", "bucket")]
        assert world.folder.catalog.warnings == warnings

    def test_back_to_what_was(self, world):
        """So does the old version, written again; nothing has changed then."""
        route = world.folder.catalog.route("a")
        world.write("a", "{")
        world.look()
        world.write("a")
        assert world.look() == (["a", "b"], [], 1)
        assert world.folder.catalog.route("a") is route

    def test_mistake_of_ours(self, world, monkeypatch, caplog):
        """A file that makes the broker itself fail is told like any other, and holds up nothing."""

        def broken(*arguments):
            raise RuntimeError("unforeseen")

        monkeypatch.setattr("broker.policy.lint.warnings", broken)
        world.write("a", {"description": "new"})
        (world.path / "b.json").unlink()
        assert world.look() == (["a"], [("a.json", "")], 2)
        assert "RuntimeError" in world.folder.catalog.problems[0].message
        assert "unforeseen" in caplog.text

    def test_other_changes_go_live(self, world):
        """An invalid file holds up no other: changed, new and removed ones take effect."""
        world.write("a", "{")
        world.write("c")
        (world.path / "b.json").unlink()
        assert world.look() == (["a", "c"], [("a.json", "")], 2)

    def test_invalid_from_the_start(self, world):
        """A new file that is not sound is no route: it has no last good version."""
        world.write("c", "{")
        assert world.look() == (["a", "b"], [("c.json", "")], 1)
        world.write("c")
        assert world.look() == (["a", "b", "c"], [], 2)

    def test_invalid_file_removed(self, world):
        """Removing the file closes the route, last good version or not."""
        world.write("a", "{")
        world.look()
        (world.path / "a.json").unlink()
        assert world.look() == (["b"], [], 2)

    def test_illegal_name(self, world):
        """A file whose name is no route's is told."""
        world.write("C_D")
        assert world.look() == (["a", "b"], [("C_D.json", "")], 1)

    def test_start(self, world):
        """At start an invalid file is fatal, and every problem is told."""
        world.write("a", "{")
        world.write("b", {"region": "x", "bucket": "y"})
        with pytest.raises(ConfigurationError) as caught:
            world.open()
        assert [problem.field for problem in caught.value.problems] == ["", "bucket", "region"]


class TestTrouble:
    """What happens to folders and files."""

    def test_empty(self, world):
        """With the last file the last route goes; new files bring routes back."""
        for name in ("a", "b"):
            (world.path / f"{name}.json").unlink()
        assert world.look() == ([], [("policies", "")], 2)
        world.write("a")
        assert world.look() == (["a"], [], 3)

    def test_gone(self, world):
        """A folder that is gone holds no file: every route is closed until it is there again."""
        world.path.rename(world.path.parent / "elsewhere")
        assert world.look() == ([], [("policies", "")], 2)
        (world.path.parent / "elsewhere").rename(world.path)
        assert world.look() == (["a", "b"], [], 3)

    def test_file_instead(self, world):
        """So it is if a file has taken its place."""
        world.path.rename(world.path.parent / "elsewhere")
        world.path.write_text("")
        assert world.look() == ([], [("policies", "")], 2)

    def test_link_to_itself(self, world):
        """A folder that nobody can tell to be gone leaves everything as it was, and is told."""
        world.path.rename(world.path.parent / "elsewhere")
        world.path.symlink_to(world.path)
        assert world.look() == (["a", "b"], [("policies", ""), ("a.json", ""), ("b.json", "")], 1)
        world.path.unlink()
        (world.path.parent / "elsewhere").rename(world.path)
        assert world.look()[:2] == (["a", "b"], [])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable(self, world):
        """What cannot be looked at stays as it was, and is told."""
        world.path.chmod(0)
        assert world.look() == (["a", "b"], [("policies", ""), ("a.json", ""), ("b.json", "")], 1)
        world.path.chmod(0o700)
        assert world.look()[:2] == (["a", "b"], [])

    def test_unreadable_file(self, world):
        """A file that cannot be read keeps its last good version, and the same content is sound again after."""
        file = world.path / "a.json"
        text = file.read_text()
        file.unlink()
        file.mkdir()
        assert world.look() == (["a", "b"], [("a.json", "")], 1)
        file.rmdir()
        file.write_text(text)
        assert world.look() == (["a", "b"], [], 1)

    @pytest.mark.parametrize("kind", ["pipe", "device"])
    def test_no_file(self, world, kind):
        """What is no file is not opened, which could wait for ever; the others are read."""
        (world.path / "a.json").unlink()
        if kind == "pipe":
            os.mkfifo(world.path / "a.json")
        else:
            (world.path / "a.json").symlink_to("/dev/zero")
        world.write("b", {"description": "new"})
        assert world.look() == (["a", "b"], [("a.json", "")], 2)
        (world.path / "a.json").unlink()
        assert world.look() == (["b"], [], 3)

    def test_dangling_link(self, world):
        """A link whose file is gone closes the route, and is told as long as it stands."""
        (world.path / "a.json").unlink()
        (world.path / "a.json").symlink_to(world.path / "nowhere")
        assert world.look() == (["b"], [("a.json", "")], 2)
        (world.path / "a.json").unlink()
        assert world.look() == (["b"], [], 2)


class TestConfigMap:
    """How Kubernetes changes files: links to `..data`, itself a link that is swapped."""

    @pytest.fixture
    def mounted(self, tmp_path, policy, limits) -> World:
        """A mounted ConfigMap of two files."""
        made = World(tmp_path / "mount", policy, limits)
        self.publish(made, "1", a={}, b={})
        made.open()
        return made

    def publish(self, world: World, version: str, **files) -> None:
        """A new version, as the kubelet writes it: a new folder, the swap, then links that come and go."""
        folder = world.path / f"..{version}"
        folder.mkdir()
        for name, changes in files.items():
            text = changes if isinstance(changes, str) else json.dumps(world.policy("read", changes))
            (folder / f"{name}.json").write_text(text)
        (world.path / "..data_tmp").symlink_to(folder.name)
        (world.path / "..data_tmp").replace(world.path / "..data")
        for name in files:
            if not (world.path / f"{name}.json").is_symlink():
                (world.path / f"{name}.json").symlink_to(f"..data/{name}.json")
        for link in world.path.glob("*.json"):
            if link.stem not in files:
                link.unlink()

    def test_swap(self, mounted):
        """All files of a version come at once."""
        self.publish(mounted, "2", a={"description": "2"}, b={"description": "2"}, c={})
        assert mounted.look() == (["a", "b", "c"], [], 2)
        assert {mounted.folder.catalog.route(name).document.description for name in "ab"} == {"2"}

    def test_file_taken_out(self, mounted):
        """A file that a version lacks closes its route, even before its link is gone."""
        self.publish(mounted, "2", b={})
        assert mounted.look() == (["b"], [], 2)
        (mounted.path / "a.json").symlink_to("..data/a.json")
        assert mounted.look() == (["b"], [("a.json", "")], 2)

    def test_invalid_file(self, mounted):
        """An invalid file of a version keeps its last good one; the version's others go live."""
        self.publish(mounted, "2", a="{", b={"description": "2"})
        assert mounted.look() == (["a", "b"], [("a.json", "")], 2)
        assert mounted.folder.catalog.route("b").document.description == "2"

    def test_folder_is_a_link(self, tmp_path, policy, limits):
        """A folder that is itself a link may be swapped whole."""
        for name, description in (("one", "1"), ("two", "2")):
            made = World(tmp_path / name, policy, limits)
            made.write("a", {"description": description})
        (tmp_path / "policies").symlink_to("one")
        folder = Folder(tmp_path / "policies", limits)
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(tmp_path / "policies")
        assert folder.refresh(LATER).route("a").document.description == "2"


class TestOneBucket:
    """An endpoint without `{bucket}` is one bucket's."""

    def test_other_bucket(self, world):
        """A file that names another bucket is refused, at start and later; with `{bucket}` it is not."""
        world.write("b", OTHER)
        assert world.look()[:2] == (["a", "b"], [])
        with pytest.raises(ConfigurationError) as caught:
            world.open(cos_endpoint="http://127.0.0.1:9000")
        assert [(Path(one.source).name, one.field) for one in caught.value.problems] == [("b.json", "bucket")]
        assert "examplebucket-1250000000" in str(caught.value)

    def test_other_bucket_later(self, world):
        """The bucket that is served counts, whatever the names of the files; until most of them name another."""
        (world.path / "a.json").unlink()
        world.open(cos_endpoint="http://127.0.0.1:9000")
        world.write("a", OTHER)
        assert world.look() == (["b"], [("a.json", "bucket")], 1)
        assert world.folder.catalog.problems[0].line == 1
        world.write("b", OTHER)
        assert world.look() == (["a", "b"], [], 2)
        assert {route.document.bucket for route in world.folder.catalog.routes.values()} == {OTHER["bucket"]}

    def test_stranger_stays(self, world):
        """When the others go, the one that named another bucket is served as it stands."""
        world.open(cos_endpoint="http://127.0.0.1:9000")
        world.write("b", OTHER)
        assert world.look() == (["a", "b"], [("b.json", "bucket")], 1)
        (world.path / "a.json").unlink()
        assert world.look() == (["b"], [], 2)
        assert world.folder.catalog.route("b").document.bucket == OTHER["bucket"]

    def test_own_endpoint(self, world):
        """A route with an endpoint of its own may have a bucket of its own."""
        world.open(cos_endpoint="http://127.0.0.1:9000")
        world.write("a", {**OTHER, "endpoint": "https://{bucket}.cos.{region}.myqcloud.com"})
        assert world.look()[:2] == (["a", "b"], [])
        world.write("c")
        assert world.look()[:2] == (["a", "b", "c"], [])


def test_role(world, limits):
    """With a temporary key for STS every file needs a role, those that come later, too."""
    arn = {"credential": {"role_arn": "qcs::cam::uin/100000000001:roleName/cos"}}
    world.write("a", arn)
    world.write("b", arn)
    world.folder = Folder(world.path, Limits(limits.policy_bytes, limits.cos_endpoint, role_required=True))
    world.write("c")
    assert world.look() == (["a", "b"], [("c.json", "credential.role_arn")], 1)
    world.write("c", arn)
    assert world.look() == (["a", "b", "c"], [], 2)
