"""The code that Try it shows: each piece is copied from the page, and runs as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.demo import png

REPOSITORY = Path(__file__).parents[2]
COPY = """
  const copied = {};
  for (const language of await page.locator('.code summary').allTextContents()) {
    await page.evaluate((name) => {
      const block = [...document.querySelectorAll('.code details')].find((one) => one.textContent.startsWith(name));
      block.open = true;
    }, language);
    await page.click(`text=Copy ${language}`);
    await page.waitForSelector('button:has-text("Copied")');
    copied[language] = await page.evaluate(() => navigator.clipboard.readText());
    await page.waitForSelector('button:has-text("Copied")', { state: 'detached' });
  }
  return [copied, await page.locator('.code').innerText()];
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, str], str]:
    """What a piece of code prints; it must end well."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}

    def run(language: str, text: str) -> str:
        command = {
            "curl": ["bash", "-euo", "pipefail", "-c", text],
            "Python": [sys.executable, "-c", text],
            "JavaScript": ["node", "--input-type=module", "--eval", text],
        }[language]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"{language}: {ended.stderr}\n{text}"
        return ended.stdout

    return run


def copied(dev, fill: str, path: str, **given) -> dict[str, str]:
    """The code by language; what is seen of it holds no token."""
    code = f"{fill} await page.click('#go'); await page.waitForSelector('.code'); {COPY}"
    texts, seen = dev.run(code, path, **given)
    assert dev.world.identities.console_key.partition(".")[2] not in seen
    assert all(dev.world.identities.console_key in text for text in texts.values())
    return texts


UPLOADS = {
    "avatars": ("url", "png", "PutObject"),
    "avatars&vend=signature": ("signature", "png", "PutObject"),
    "videos&vend=form": ("form", "mp4", "PostObject"),
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("query", UPLOADS)
def test_upload(dev, run, tmp_path, query):
    """An upload in one request, in each language: every one of them stores a file."""
    _, ext, action = UPLOADS[query]
    (tmp_path / f'it\'s a "file".{ext}').write_bytes(png(32))
    fill = f"""
      await page.selectOption('[name="inputs.ext"]', '{ext}');
      await page.setInputFiles('#file', given.from);
    """
    path = str(tmp_path / f'it\'s a "file".{ext}')
    texts = copied(dev, fill, f"/try?route={query}", **{"from": path})
    assert list(texts) == ["curl", "Python", "JavaScript"]
    for count, (language, text) in enumerate(texts.items(), start=2):
        run(language, text)
        assert dev.world.emulator.stats()["cos"][action] == count, language


def test_upload_in_parts(dev, run, tmp_path):
    """A file in parts, in the languages that have a client for it."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"A" * 17 * 2**20)
    fill = """
      await page.selectOption('[name="inputs.ext"]', 'mp4');
      await page.setInputFiles('#file', given.from);
    """
    texts = copied(dev, fill, "/try?route=videos", **{"from": str(path)})
    assert list(texts) == ["Python", "JavaScript"]
    for count, (language, text) in enumerate(texts.items(), start=2):
        assert "videos/u1/" in run(language, text)
        assert dev.world.emulator.stats()["cos"]["CompleteMultipartUpload"] == count


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(
    ("query", "answered"),
    [
        ("private-files&vend=download-url", {"Python": "200 5 bytes", "JavaScript": "200 files/u1/a b.txt"}),
        ("private-files&vend=url&method=GET", {"Python": "200 5 bytes", "JavaScript": "200 files/u1/a b.txt"}),
        ("private-files&vend=url&method=HEAD", {"curl": "200 OK", "Python": "200 0 bytes", "JavaScript": "200 files"}),
        ("my-files-delete", {"Python": "204 0 bytes", "JavaScript": "204 files/u1/a b.txt"}),
    ],
)
def test_link(dev, run, tmp_path, query, answered):
    """What needs no file: each language gets COS's answer."""
    upload = """
      await page.setInputFiles('#file', file('a.txt', 'AAAAA'));
      await page.fill('[name="inputs.path"]', 'a b.txt');
      await page.click('#go');
      await page.waitForSelector('.code');
    """
    dev.run(upload, "/try?route=papers")
    texts = copied(dev, "await page.fill('[name=\"key\"]', 'files/u1/a b.txt');", f"/try?route={query}")
    assert list(texts) == ["curl", "Python", "JavaScript"]
    for language, text in texts.items():
        assert answered.get(language, "") in run(language, text), language
    if "HEAD" not in query and "delete" not in query:
        assert (tmp_path / "downloaded").read_bytes() == b"AAAAA"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_keys(dev, run):
    """Keys are fetched, and only curl, which has nothing to hold them, prints them."""
    texts = copied(dev, "", "/try?route=user-folder")
    assert '"tmpSecretKey"' in run("curl", texts["curl"])
    assert "files/u1/" in run("Python", texts["Python"])
    assert re.match(r"files/u1/ \[", run("JavaScript", texts["JavaScript"]))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_confirmation(dev, run):
    """Whether a file has arrived."""
    upload = """
      await page.selectOption('[name="inputs.ext"]', 'mp4');
      await page.setInputFiles('#file', file('a.mp4', 'AAAAA'));
      await page.click('#go');
      await page.waitForSelector('.code');
      return page.textContent('.answer .facts-table bdi');
    """
    key = dev.run(upload, "/try?route=videos")
    texts = copied(dev, "await page.fill('[name=\"key\"]', given.key);", "/try?route=videos&vend=confirm", key=key)
    assert list(texts) == ["curl", "Python", "JavaScript"]
    for language, text in texts.items():
        assert re.search(r"satisfies\W+true", run(language, text), re.IGNORECASE), language
