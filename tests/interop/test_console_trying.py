"""Try it, in a real Chromium: files that go up, stop and go on; links, forms, keys; refusals, and what goes wrong."""

from __future__ import annotations

import json

import pytest

from broker import local
from broker.demo import png
from broker.emulator.faults import Fault

GIB = 2**30
EXPLAINED = "COS answers with the header content-type: application/pdf, whatever is stored."
# Chooses a file of so many bytes, all alike.
CHOOSE = "await page.setInputFiles('#file', file(given.name, new Uint8Array(given.bytes).fill(65)));"
REFUSAL = """
  await page.waitForSelector('#refusal');
  const invalid = await page.locator('#ask [aria-invalid]').evaluateAll((all) => all.map(({ name }) => name));
  return [await page.textContent('#refusal'), invalid, await page.evaluate(() => document.activeElement.name)];
"""


def stored(dev, key: str) -> bytes:
    """An object, by a link for u1."""
    headers = {
        "Authorization": f"Bearer {dev.world.identities.api_key}",
        "X-Principal": "u1",
        "Content-Type": "application/json",
    }
    route = "my-videos" if key.startswith("videos/") else "avatar-download" if key.startswith("av") else "private-files"
    url = f"{dev.world.url}/v1/{route}/download-url"
    status, _, body = local.send("POST", url, headers, json.dumps({"key": key}).encode())
    assert status == 200, body
    status, _, body = local.send("GET", json.loads(body)["url"], {})
    assert status == 200, body
    return body


def test_picture(dev):
    """A picture goes up and is shown, with its link from the route that reads; what the URL is made of is explained."""
    picture = png(64)
    code = """
      await page.selectOption('[name="inputs.ext"]', 'png');
      await page.setInputFiles('#file', file('me.png', given.png));
      await page.click('#go');
      await page.waitForSelector('.code');
      const pieces = await page.locator('.anatomy tbody tr').evaluateAll((rows) => rows.map((row) => row.innerText));
      const seen = await page.evaluate(() => document.querySelector('img.preview').decode().then(() => true));
      await page.click('text=A link from avatar-download');
      const link = await page.getAttribute('#open', 'href');
      const key = await page.textContent('.answer .facts-table bdi');
      return { key, seen, pieces, link, timer: await page.textContent('[role=timer]') };
    """
    found = dev.run(code, "/try?route=avatars", png=list(picture))
    assert stored(dev, found["key"]) == picture
    assert found["seen"] is True
    assert local.send("GET", found["link"], {})[2] == picture
    assert found["timer"].startswith("Works for 4 min") or found["timer"].startswith("Works for 5 min")
    names = [piece.split("\n")[0].split("\t")[0] for piece in found["pieces"]]
    assert names == [
        "method", "host", "path", "q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list",
        "q-url-param-list", "q-signature", "x-cos-security-token",
    ]  # fmt: skip
    assert all(len(piece) < 400 for piece in found["pieces"])


def test_dropped(dev):
    """A file that is dropped is the file that is chosen."""
    code = """
      const data = await page.evaluateHandle(() => {
        const made = new DataTransfer();
        made.items.add(new File(['dropped'], 'dropped.txt', { type: 'text/plain' }));
        return made;
      });
      await page.dispatchEvent('#drop', 'dragover', { dataTransfer: data });
      const over = await page.getAttribute('#drop', 'class');
      await page.dispatchEvent('#drop', 'drop', { dataTransfer: data });
      const chosen = await page.textContent('#chosen');
      await page.fill('[name="inputs.path"]', 'dropped.txt');
      await page.click('#go');
      await page.waitForSelector('.code');
      return [over, chosen, await page.getAttribute('#drop', 'class'), await page.textContent('.stored pre')];
    """
    assert dev.run(code, "/try?route=papers") == ["drop over", "dropped.txt, 7 B, text/plain", "drop", "dropped"]
    assert stored(dev, "files/u1/dropped.txt") == b"dropped"


def test_claims(dev):
    """In `dev` the page asks as whoever is wanted, with whatever claims."""
    code = """
      await page.fill('[name="claims.sub"]', 'somebody');
      await page.fill('[name="claims.tenant"]', 'another-firm');
      await page.selectOption('[name="claims.role"]', 'owner').catch(() => page.fill('[name="claims.role"]', 'owner'));
      await page.fill('[name="inputs.month"]', '2026-02');
      await page.click('#go');
      await page.waitForSelector('.anatomy');
      return page.textContent('.answer .facts-table bdi');
    """
    assert dev.run(code, "/try?route=reports") == "reports/another-firm/2026-02.pdf"


def test_parts(dev):
    """A large file goes up in parts, which are counted; then the broker says that it is there."""
    code = f"""
      {CHOOSE}
      await page.selectOption('[name="inputs.ext"]', 'mp4');
      await page.click('#go');
      await page.waitForSelector('.code');
      await page.click('text=Is it there?');
      await page.waitForSelector('.stored .notice');
      const key = await page.textContent('.answer .facts-table bdi');
      return [key, await page.textContent('#parts'), await page.textContent('.stored .notice')];
    """
    key, parts, there = dev.run(code, "/try?route=videos", name="clip.mp4", bytes=20 * 2**20)
    assert stored(dev, key) == b"A" * 20 * 2**20
    assert parts == "3 of 3 parts of 8 MiB"
    assert there == "It is there: 20 MiB, video/mp4; the policy is satisfied."


# Five parts, of which those from the third on are late.
PAUSED = f"""
  {CHOOSE}
  await page.selectOption('[name="inputs.ext"]', 'mp4');
  let held = 0;
  await page.route(`${{given.cos}}/**`, async (route) => {{
    const part = /partNumber=(\\d+)/.exec(route.request().url())?.[1];
    if (route.request().method() !== 'PUT' || Number(part) <= 2 || held < 0) return route.continue();
    held += 1;
    return new Promise(() => {{}});
  }});
  await page.click('#go');
  await page.waitForFunction(() => document.querySelectorAll('#parts .sent').length === 2);
"""


def test_paused(dev):
    """An upload in parts that is paused goes on with what it has: no part is sent twice."""
    code = f"""
      {PAUSED}
      await page.click('#pause');
      await page.waitForSelector('#progress-title:has-text("Paused")');
      held = -1;
      await page.click('text=Resume');
      await page.waitForSelector('.code');
      return page.textContent('.answer .facts-table bdi');
    """
    key = dev.run(code, "/try?route=videos", name="clip.mp4", bytes=40 * 2**20)
    assert len(stored(dev, key)) == 40 * 2**20
    assert dev.world.emulator.stats()["cos"]["UploadPart"] == 5


def test_discarded(dev):
    """One that is discarded leaves nothing in COS."""
    code = f"""
      {PAUSED}
      await page.click('#pause');
      await page.waitForSelector('#progress-title:has-text("Paused")');
      await page.click('text=Discard');
      await page.waitForSelector('.notice:has-text("Discarded")');
      return page.isVisible('#go');
    """
    assert dev.run(code, "/try?route=videos", name="clip.mp4", bytes=40 * 2**20) is True
    assert dev.world.emulator.stats()["cos"]["AbortMultipartUpload"] == 1


@pytest.mark.parametrize("route", ["videos", "avatars"])
def test_aborted(dev, route):
    """One that is aborted is gone, in parts like in one request."""
    code = f"""
      {CHOOSE}
      await page.selectOption('[name="inputs.ext"]', given.ext);
      const never = new Promise(() => {{}});
      await page.route(`${{given.cos}}/**`, (route) => (route.request().method() === 'PUT' ? never : route.continue()));
      await page.click('#go');
      await page.waitForSelector('#abort:not([hidden])');
      await page.waitForSelector('#progress:not([hidden])');
      await page.click('#abort');
      await page.waitForSelector('.notice');
      await page.waitForSelector('.notice:has-text("COS keeps nothing"), .notice:has-text("nothing is stored")');
      return page.isEnabled('#go');
    """
    name, ext = ("a.mp4", "mp4") if route == "videos" else ("a.png", "png")
    assert dev.run(code, f"/try?route={route}", name=name, ext=ext, bytes=2**20) is True
    counts = dev.world.emulator.stats()["cos"]
    assert counts.get("AbortMultipartUpload", 0) == (route == "videos")
    assert "PutObject" not in counts


def test_form(dev):
    """A form's file goes up as a browser's form sends it."""
    code = f"""
      {CHOOSE}
      await page.selectOption('[name="inputs.ext"]', 'webm');
      await page.click('#go');
      await page.waitForSelector('.code');
      return page.textContent('.answer .facts-table bdi');
    """
    key = dev.run(code, "/try?route=videos&vend=form", name="clip.webm", bytes=1000)
    assert stored(dev, key) == b"A" * 1000


def test_link(dev):
    """A link is opened or looked at where it stands."""
    upload = f"""
      {CHOOSE}
      await page.fill('[name="inputs.path"]', 'a.txt');
      await page.click('#go');
      await page.waitForSelector('.code');
    """
    dev.run(upload, "/try?route=papers", name="a.txt", bytes=5)
    code = """
      await page.fill('[name="key"]', 'files/u1/a.txt');
      await page.click('#go');
      await page.click('text=Preview');
      await page.waitForSelector('#looked > *');
      return [await page.textContent('#looked'), await page.getAttribute('#open', 'rel')];
    """
    assert dev.run(code, "/try?route=private-files&vend=download-url") == ["AAAAA", "noreferrer"]


def test_deletion(dev):
    """What changes something is sent only when somebody says so."""
    code = """
      await page.fill('[name="key"]', 'files/u1/nothing.txt');
      await page.click('#go');
      await page.waitForSelector('.anatomy');
      const before = await (await fetch(`${given.cos}/_emulator/stats`)).json();
      await page.click('text=Send the DELETE');
      await page.waitForSelector('#looked .notice');
      return [before.cos, await page.textContent('#looked')];
    """
    assert dev.run(code, "/try?route=my-files-delete") == [{}, "COS answered 204 to DELETE."]


def test_explanations(dev):
    """Every parameter is explained: those of the signature, what COS is told to answer, and what belongs to parts."""
    code = """
      await page.fill('[name="inputs.month"]', '2026-02');
      await page.fill('[name="filename"]', 'report.pdf');
      await page.click('#go');
      await page.waitForSelector('.anatomy');
      const cells = (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText));
      const rows = await page.locator('.anatomy tbody tr').evaluateAll(cells);
      return Object.fromEntries(rows.map(([name, ...rest]) => [name, rest]));
    """
    found = dev.run(code, "/try?route=reports")
    assert found["response-content-type"] == ["application/pdf", EXPLAINED]
    assert found["response-content-disposition"][1].endswith("It decides the name to save under.")
    assert "…" in found["q-signature"][0]
    assert "…" in found["x-cos-security-token"][0]
    assert " to " in found["q-sign-time"][1]


def test_keys(dev):
    """Of keys that are handed out no secret is shown whole."""
    code = "await page.click('#go'); await page.waitForSelector('.code'); return page.textContent('.answer')"
    shown = dev.run(code, "/try?route=user-folder")
    assert "files/u1/" in shown
    assert "PutObject" in shown
    words = [word for word in shown.replace('"', " ").split() if len(word) > 60]
    assert [word for word in words if not word.startswith(("http", "await", "headers", "{"))] == []


class TestRefusals:
    """What the broker refuses is shown as it says it, at the field that it is about."""

    def test_claim(self, dev):
        """A caller without the claim."""
        code = f"await page.fill('[name=\"claims.scope\"]', 'other'); await page.click('#go'); {REFUSAL}"
        text, invalid, focused = dev.run(code, "/try?route=user-folder")
        assert text.startswith("principal_not_allowed 403 claims.scope must contain 'folder:keys'")
        assert (invalid, focused) == (["claims.scope"], "claims.scope")

    def test_input(self, dev):
        """An input that does not match."""
        code = f"await page.fill('[name=\"inputs.month\"]', '1999-13'); await page.click('#go'); {REFUSAL}"
        text, invalid, focused = dev.run(code, "/try?route=reports")
        assert "input_not_allowed 422" in text
        assert "got '1999-13'" in text
        assert (invalid, focused) == (["inputs.month"], "inputs.month")

    def test_key(self, dev):
        """Another user's key."""
        code = f"await page.fill('[name=\"key\"]', 'files/u2/a.txt'); await page.click('#go'); {REFUSAL}"
        text, invalid, _ = dev.run(code, "/try?route=private-files&vend=download-url")
        assert "key_not_allowed 422" in text
        assert invalid == ["key"]

    def test_lifetime(self, dev):
        """A lifetime beyond the policy's, and one that is no number."""
        code = f"""
          await page.fill('[name="key"]', 'files/u1/a.txt');
          await page.fill('[name="expires_in"]', given.seconds);
          await page.click('#go'); {REFUSAL}
        """
        text, invalid, _ = dev.run(code, "/try?route=private-files&vend=download-url", seconds="901")
        assert "expires_too_long 422" in text
        assert invalid == ["expires_in"]
        text, invalid, _ = dev.run(code, "/try?route=private-files&vend=download-url", seconds="soon")
        assert "invalid_request 400" in text
        assert invalid == ["expires_in"]

    def test_type(self, dev):
        """A file of another type points at the field of the type."""
        code = f"""
          await page.selectOption('[name="inputs.ext"]', 'png');
          await page.setInputFiles('#file', file('a.html', '<script>alert(1)</script>'));
          await page.click('#go'); {REFUSAL}
        """
        text, invalid, _ = dev.run(code, "/try?route=avatars")
        assert "content_type_not_allowed 422" in text
        assert invalid == ["headers.Content-Type"]

    def test_overwriting(self, dev):
        """What COS refuses is told with its code, and what to do."""
        code = f"""
          {CHOOSE}
          await page.fill('[name="inputs.path"]', 'once.txt');
          await page.click('#go');
          await page.waitForSelector('.code');
          await page.click('#go'); {REFUSAL}
        """
        text, invalid, _ = dev.run(code, "/try?route=papers", name="once.txt", bytes=3)
        assert "FileAlreadyExists 409" in text
        assert "Choose another key." in text
        assert invalid == []


@pytest.mark.parametrize(
    ("path", "fill", "told"),
    [
        ("/try?route=avatars", "await page.selectOption('[name=\"inputs.ext\"]', 'png');", "must be at most 5242880"),
        ("/try?route=videos", "await page.selectOption('[name=\"inputs.ext\"]', 'mp4');", "at most 2 GiB go up"),
        ("/try?route=videos&vend=form", "await page.selectOption('[name=\"inputs.ext\"]', 'mp4');", "at most 2 GiB go"),
        ("/try?route=papers", "await page.fill('[name=\"inputs.path\"]', 'a.mp4');", "at most 5 GiB go up here"),
    ],
)
def test_huge_file(dev, path, fill, told):
    """A file of gigabytes that was chosen by mistake is refused before a byte of it is read or sent."""
    name = "a.png" if "avatars" in path else "a.mp4"
    code = f"""
      {fill}
      await page.setInputFiles('#file', large('{name}', given.bytes));
      const warned = await page.textContent('#chosen');
      await page.click('#go'); {REFUSAL.replace("return [", "return [warned, ")}
    """
    warned, text, invalid, _ = dev.run(code, path, bytes=5 * GIB + 1)
    assert "It is larger than what goes up here" in warned
    assert told in text
    assert "hoose a smaller file" in text
    assert invalid == ["file"]
    assert dev.world.emulator.stats()["cos"] == {}


def test_expired_while_sending(dev):
    """A URL that runs out before COS hears of the file is refused there; the page says so, and what to do."""
    code = f"""
      {CHOOSE}
      await page.fill('[name="inputs.path"]', 'late.txt');
      await page.fill('[name="expires_in"]', '1');
      await page.route(`${{given.cos}}/**`, async (route) => {{
        if (route.request().method() === 'PUT') await new Promise((done) => setTimeout(done, 2200));
        await route.continue();
      }});
      await page.click('#go'); {REFUSAL}
    """
    text, _, _ = dev.run(code, "/try?route=papers", name="late.txt", bytes=3)
    assert " 403 " in text
    assert "A signature that has run out is refused so" in text
    assert "Ask again for a new one." in text


def test_expired_before_its_eyes(dev):
    """The countdown ends in words, and the link behind it is no longer one."""
    code = """
      await page.fill('[name="key"]', 'files/u1/a.txt');
      await page.fill('[name="expires_in"]', '1');
      await page.click('#go');
      await page.waitForSelector('.countdown.expired');
      const href = await page.getAttribute('#open', 'href');
      return [await page.textContent('[role=timer]'), href, await page.textContent('#told')];
    """
    text, href, told = dev.run(code, "/try?route=private-files&vend=download-url")
    assert text == "Expired: COS refuses it now. Ask again for a new one."
    assert href is None
    assert "has expired" in told


def test_broker_away_in_parts(dev):
    """While the broker is started again an upload in parts waits; if it takes too long, it is resumed where it was."""
    code = f"""
      {CHOOSE}
      await page.selectOption('[name="inputs.ext"]', 'mp4');
      let away = false;
      await page.route('**/v1/videos/multipart', async (route) => {{
        if (away) return route.abort('connectionrefused');
        if (JSON.parse(route.request().postData()).step !== 'parts') return route.continue();
        away = true; // what was signed before still goes up; nothing after it is
        return route.continue();
      }});
      await page.click('#go');
      await page.waitForSelector('#refusal');
      const [text, title] = [await page.textContent('#refusal'), await page.textContent('#progress-title')];
      await page.unroute('**/v1/videos/multipart');
      await page.click('text=Resume');
      await page.waitForSelector('.code');
      return [text, title, await page.textContent('.answer .facts-table bdi')];
    """
    text, title, key = dev.run(code, "/try?route=videos", name="a.mp4", bytes=17 * 2**20)
    assert "unreachable" in text
    assert "Then press Resume: what was sent is kept." in text
    assert title.startswith("Stopped. What was sent is kept")
    assert stored(dev, key) == b"A" * 17 * 2**20
    assert dev.world.emulator.stats()["cos"]["UploadPart"] == 3


def test_broker_away(dev):
    """When the broker does not answer at all, the page says so, and what to do."""
    code = f"""
      await page.route('**/v1/**', (route) => route.abort('connectionrefused'));
      await page.click('#go'); {REFUSAL}
    """
    text, _, _ = dev.run(code, "/try?route=user-folder")
    assert text.startswith("unreachable")
    assert "The broker may be starting again" in text


def test_sts_away(dev):
    """What STS does wrong is shown as the caller gets it."""
    dev.world.emulator.order_fault(Fault("sts", 1, "InvalidParameter.StrategyInvalid"))
    code = f"await page.fill('[name=\"claims.sub\"]', 'nobody-before'); await page.click('#go'); {REFUSAL}"
    text, _, _ = dev.run(code, "/try?route=user-folder")
    assert text.startswith("sts_refused 502")
    assert "InvalidParameter.StrategyInvalid" in text


def test_bucket_without_cors(dev):
    """A bucket that the browser may not read answers of is told with the command that shows a rule for it."""
    code = f"""
      await page.fill('[name="key"]', 'files/u1/a.txt');
      await page.route(`${{given.cos}}/**`, (route) => route.abort('failed'));
      await page.click('#go');
      await page.click('text=Send the DELETE'); {REFUSAL}
    """
    text, _, _ = dev.run(code, "/try?route=my-files-delete")
    assert f"python -m broker cors my-files-delete --origin {dev.world.url}" in text
