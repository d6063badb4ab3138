"""The recipes of `docs/clients.md`: each does what it says, with the client that it is for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest

from broker.emulator.faults import Fault
from tests.interop.javascript import HERE
from tests.interop.recipes import python_recipe, recipe

BUCKET = "examplebucket-1250000000"
LARGE = b"".join(bytes([number]) * 2**20 for number in range(20)) + bytes([20]) * 7
PICTURE = b"\x89PNG\r\n\x1a\n picture\n\0"


@pytest.fixture
def token(world) -> str:
    """u1's JWT."""
    return world.identities.token("u1", int(time.time()))


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("jq") is None, reason="needs the real curl, and jq")
def test_curl_recipe(world, token, tmp_path):
    """A file goes up and comes back."""
    (tmp_path / "a.png").write_bytes(PICTURE)
    environ = {**os.environ, "BROKER": world.url, "TOKEN": token, "FILE": "a.png", "no_proxy": "127.0.0.1"}
    subprocess.run(["sh", "-eu", "-c", recipe("curl", "sh")], env=environ, cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "downloaded.png").read_bytes() == PICTURE


def test_requests_recipe(world, token):
    """A picture goes up and comes back; a refusal is told by its code."""
    module = python_recipe("Python requests")
    key = module.upload_avatar(world.url, token, PICTURE)
    assert module.download_avatar(world.url, token, key) == PICTURE
    with pytest.raises(RuntimeError, match=r"^key_not_allowed: "):
        module.download_avatar(world.url, token, key.replace("u1", "u2"))


def test_python_sdk_recipe(world, token, place):
    """The user's folder takes and gives an object."""
    client, grant = python_recipe("cos-python-sdk-v5").folder(world.url, token, Scheme="http", Domain=place)
    key = f"{grant['key_prefix']}a.txt"
    client.put_object(grant["bucket"], b"mine", key)
    assert client.get_object(grant["bucket"], key)["Body"].get_raw_stream().read() == b"mine"


def test_broker_client_recipe(world, token, tmp_path):
    """A video of 20 MiB goes up in parts, links to objects come in one call, and a refusal is told by its code."""
    path = tmp_path / "a.mp4"
    path.write_bytes(LARGE)
    module = python_recipe("broker.client")
    with module.BrokerClient(world.url, token) as client:
        key = module.store_video(client, path)
        assert module.links(client, ["files/u1/a", "files/u1/b"])[1].startswith(f"{world.emulator.url}/files/u1/b?")
        with pytest.raises(module.Refused, match="key_not_allowed"):
            module.links(client, ["files/u2/a"])
        path.rename(tmp_path / "a.txt")
        with pytest.raises(ValueError, match="not allowed: content_type_not_allowed"):
            module.store_video(client, tmp_path / "a.txt")
    assert key.startswith("videos/u1/")
    assert world.emulator.stats()["cos"]["UploadPart"] == 3


def test_node_sdk_recipe(world, place, tmp_path):
    """The same in Node, with a BFF's key."""
    script = """
      const [broker, apiKey, Domain] = process.argv.slice(2);
      const cos = folderOf('u1', broker, apiKey, { Domain, Protocol: 'http:', KeepAlive: false });
      const at = { Bucket: 'examplebucket-1250000000', Region: 'ap-guangzhou', Key: 'files/u1/a.txt' };
      await cos.putObject({ ...at, Body: 'mine' });
      const theirs = { ...at, Key: 'files/u2/a.txt', Body: 'x' };
      const refused = await cos.putObject(theirs).catch((error) => error.statusCode);
      console.log(JSON.stringify([(await cos.getObject(at)).Body.toString(), refused]));
    """
    # A module finds its packages from where it lies.
    path = HERE / "node_modules" / ".cache" / "recipe.mjs"
    path.parent.mkdir(exist_ok=True)
    path.write_text(recipe("cos-nodejs-sdk-v5", "js") + script, encoding="utf-8")
    command = ["node", path, world.url, world.identities.api_key, place]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == ["mine", 403]


DROP = """
  await page.evaluate((token) => { document.querySelector('meta[name=token]').content = token; }, given.token);
  const drop = (type) => page.evaluate((type) => {
    const parts = Array.from({ length: 21 }, (_, n) => new Uint8Array(n < 20 ? 2 ** 20 : 7).fill(n));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(parts, 'a.mp4', { type }));
    const told = { dataTransfer, bubbles: true, cancelable: true };
    window.seen = [];
    const bar = document.querySelector('progress');
    new MutationObserver(() => window.seen.push(bar.value)).observe(bar, { attributes: true });
    document.querySelector('#drop').dispatchEvent(new DragEvent('drop', told));
  }, type);
  const note = async () => {
    await page.waitForFunction(() => document.querySelector('output').textContent);
    return page.$eval('output', (output) => output.textContent);
  };
"""


class TestDrop:
    """The page on which videos are dropped."""

    def test_drop_recipe(self, chromium):
        """A file that is dropped goes up in parts, and the bar moves."""
        drive = "await drop('video/mp4'); return [await note(), await page.evaluate(() => window.seen)]"
        outcome = chromium.observe("", drive=DROP + drive, path="/drop")
        note, seen = outcome["result"]
        assert note.startswith("stored as videos/u1/")
        assert len(seen) >= 3
        assert seen[-1] == 1
        assert chromium.fetched("my-videos", note.removeprefix("stored as ")) == LARGE
        assert outcome["logged"] == []

    def test_drop_stopped(self, chromium):
        """Who stops it leaves nothing behind."""
        chromium.emulator.order_fault(Fault("cos", 20, delay_seconds=0.4))  # else loopback is faster than a click
        drive = """
          await drop('video/mp4');
          await page.waitForFunction(() => window.seen.length);
          await page.click('#stop');
          return note();
        """
        assert chromium.observe("", drive=DROP + drive, path="/drop")["result"] == "stopped"
        assert chromium.asked("CompleteMultipartUpload") == 0

    def test_drop_refused(self, chromium):
        """What the route does not take is said."""
        result = chromium.observe("", drive=DROP + "await drop('text/html'); return note()", path="/drop")["result"]
        assert result.startswith("not allowed: ")
        assert chromium.asked("InitiateMultipartUpload") == 0


@pytest.mark.parametrize("scripts", [True, False])
def test_form_recipe(chromium, scripts):
    """A form without a script uploads the file that is chosen, and the page stays."""
    drive = """
      await page.setJavaScriptEnabled(given.scripts);
      await page.reload();
      await (await page.$('input[type=file]')).uploadFile(file('a.mp4', bytes(1)));
      const answered = page.waitForResponse((response) => response.url().startsWith(given.cos));
      await page.click('button');
      const key = await page.$eval('[name=key]', (field) => field.value);
      return [(await answered).status(), new URL(page.url()).pathname, key];
    """
    status, path, key = chromium.observe("", drive=drive, path="/form", scripts=scripts)["result"]
    assert (status, path) == (204, "/form")
    assert chromium.fetched("my-videos", key) == LARGE[: 2**20] + bytes([1]) * 7


COS_JS = """
  const { folder } = await import('/cos-js-sdk-v5.js');
  const cos = folder(given.route, () => given.token, { Domain: given.cos.replace('http://', ''), Protocol: 'http:' });
  const at = { Bucket: 'examplebucket-1250000000', Region: 'ap-guangzhou', Key: 'files/u1/a.bin' };
  const theirs = { ...at, Key: 'files/u2/a.bin' };
  const seen = [];
  const onProgress = (now) => seen.push(now.percent);
"""


def test_cos_js_recipe(chromium):
    """The vendor's SDK puts 20 MiB into the user's folder, gets them back, and reaches nothing of another's."""
    code = """
      await cos.putObject({ ...at, Body: new Blob([bytes(20)]), onProgress });
      const got = await cos.getObject({ ...at, DataType: 'blob' });
      const refused = await cos.putObject({ ...theirs, Body: 'x' }).catch((error) => error.statusCode);
      return [got.Body.size, seen.at(-1), refused];
    """
    assert chromium.run(COS_JS + code, route="user-folder") == [len(LARGE), 1, 403]
    assert chromium.fetched("private-files", "files/u1/a.bin") == LARGE


def test_cos_js_slices(chromium):
    """It uploads 20 MiB in slices to the user's folder, and none to another's."""
    code = """
      const Body = new Blob([bytes(20)]);
      const stored = await cos.sliceUploadFile({ ...at, Body, AsyncLimit: 3, onProgress });
      const refused = await cos.sliceUploadFile({ ...theirs, Body }).catch((error) => error.statusCode);
      return [stored.statusCode, seen.at(-1), refused];
    """
    assert chromium.run(COS_JS + code, route="large-folder") == [200, 1, 403]
    assert chromium.fetched("private-files", "files/u1/a.bin") == LARGE
    assert chromium.asked("UploadPart") == 21


class TestUppy:
    """Uppy with its plugin for S3."""

    CODE = """
      const { uppyOn } = await import('/Uppy.js');
      let key = '';
      const uppy = uppyOn('papers', () => given.token, () => ({ key: given.key, headers: {} }));
      const seen = [];
      uppy.on('upload-progress', (file, now) => seen.push(now.bytesUploaded));
      uppy.on('upload-error', (file, error) => seen.push(String(error)));
      uppy.addFile({ name: 'a.bin', type: 'application/octet-stream', data: new Blob([bytes(given.mebibytes)]) });
      const { successful, failed } = await uppy.upload();
      return { successful: successful.length, failed: failed.map((file) => file.error), seen };
    """

    @pytest.mark.parametrize(("mebibytes", "parts"), [(1, 0), (20, 3)])
    def test_uppy_recipe(self, chromium, mebibytes, parts):
        """A small file goes up in one request, a large one in parts."""
        result = chromium.run(self.CODE, key="files/u1/a.bin", mebibytes=mebibytes)
        assert (result["successful"], result["failed"]) == (1, []), result
        body = LARGE[: mebibytes * 2**20] + bytes([mebibytes]) * 7
        assert result["seen"][-1] == len(body)
        assert chromium.asked("UploadPart") == parts
        assert chromium.fetched("private-files", "files/u1/a.bin") == body

    def test_uppy_refused(self, chromium):
        """What the broker refuses, the user reads."""
        result = chromium.run(self.CODE, key="files/u2/a.bin", mebibytes=1)
        assert result["successful"] == 0
        assert "key must be of the form" in result["failed"][0]
