"""The console in a real Chromium: every section, in both themes, at a phone's width, by keyboard, and for axe-core."""

from __future__ import annotations

import pytest

from tests.interop.chrome import PHONE, SCREENSHOTS, WIDE

# What makes a section show all it has.
SECTIONS = {
    "routes": ("", "await page.waitForSelector('.routes')"),
    "route": ("/routes/avatars", "await page.waitForSelector('pre')"),
    "try": (
        "/try?route=avatars",
        """
        await page.selectOption('[name="inputs.ext"]', 'png');
        await page.setInputFiles('#file', file('portrait.png', given.png));
        await page.click('#go');
        await page.waitForSelector('.code');
        """,
    ),
    "permissions": (
        "/permissions?route=avatars",
        """
        await page.selectOption('[name="inputs.ext"]', 'png');
        await page.fill('#try', 'PUT avatars/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png');
        await page.click('#ask button');
        await page.waitForSelector('.verdict');
        """,
    ),
    "denied": (
        "/permissions?route=avatars",
        """
        await page.selectOption('[name="inputs.ext"]', 'png');
        await page.fill('#try', 'PUT avatars/u2/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png');
        await page.click('#ask button');
        await page.waitForSelector('.verdict');
        """,
    ),
}
SECTIONS["credentials"] = (
    "/credentials",
    """
    await grants();
    await page.reload();
    await page.waitForSelector('.life');
    """,
)
# Asks the broker as its BFF does for u1.
ASKING = """
  const asked = async (path, ask) => {
    const headers = { Authorization: `Bearer ${given.bff}`, 'X-Principal': 'u1', 'Content-Type': 'application/json' };
    const answer = await fetch(`${given.api}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(ask) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
"""
GRANTS = """
  const grants = async () => {
    const all = [
      ['avatars/url', { inputs: { ext: 'png' }, headers: { 'Content-Type': 'image/png', 'Content-Length': '9' } }],
      ['user-folder/credentials', {}],
      ['private-files/download-url', { key: 'files/u1/a.txt' }],
      ['my-files-delete/url', { key: 'files/u1/a.txt' }],
    ];
    for (const [path, ask] of all) await asked(path, ask);
  };
"""
LOOKS = {"light": (WIDE, "light"), "dark": (WIDE, "dark"), "phone": (PHONE, "light"), "phone-dark": (PHONE, "dark")}


@pytest.fixture(scope="session")
def png() -> list[int]:
    """A picture."""
    from broker.demo import png

    return list(png(96))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("section", SECTIONS)
def test_look(dev, png, section, look):
    """It is drawn whole, axe-core finds nothing serious, nothing is wider than the screen, nothing was kept from it."""
    path, act = SECTIONS[section]
    size, theme = LOOKS[look]
    code = f"""
      {ASKING} {GRANTS} {act}
      await shot('{section}-{look}');
      if ('{look}' === 'light') {{
        await page.evaluate(() => scrollTo(0, 0));
        await shot('console-{section}', false); // as docs/images has it
      }}
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      return [await axe(), wide, await page.evaluate(() => getComputedStyle(document.body).backgroundColor)];
    """
    outcome = dev.observe(code, path, size=size, theme=theme, png=png)
    violations, wider, ground = outcome["result"]
    assert violations == []
    assert wider <= 0
    assert ground == ("rgb(255, 255, 255)" if theme == "light" else "rgb(18, 22, 28)")
    assert outcome["logged"] == []


@pytest.mark.parametrize("path", ["", "/routes/avatars", "/permissions?route=avatars"])
def test_without_scripts(dev, path):
    """What is to be read can be read without JavaScript."""
    code = "return [await page.textContent('h1'), (await page.textContent('main')).includes('avatars/')]"
    title, read = dev.run(code, path, script=False, with_key=False)
    assert title in ("Routes", "avatars", "What may this caller do?")
    assert read


def test_permissions_without_scripts(dev):
    """The form works without them, too."""
    code = """
      await page.fill('#try', 'DELETE files/u2/a.txt');
      await page.click('#ask button');
      return page.textContent('.verdict');
    """
    assert "Denied" in dev.run(code, "/permissions?route=user-folder", script=False, with_key=False)


def test_key_in_the_address(dev):
    """The key that `make dev` prints leaves the address before anything is asked, and is sent in no address."""
    code = """
      await page.waitForSelector('.who:not([hidden])');
      return [page.url(), await page.textContent('#who'), await page.evaluate(() => document.cookie), network];
    """
    url, who, cookie, network = dev.run(code)
    secret = dev.world.identities.console_key.partition(".")[2]
    assert url == dev.console
    assert who == "API key console"
    assert cookie == ""
    assert [one["url"] for one in network if secret in one["url"]] == []


def test_theme(dev):
    """The switch changes the theme at once and for the next page."""
    code = """
      const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const before = await ground();
      await page.click('#theme');
      const after = await ground();
      await page.click('nav >> text=Permissions');
      return [before, after, await ground(), await page.textContent('#theme')];
    """
    assert dev.run(code) == ["rgb(255, 255, 255)", "rgb(18, 22, 28)", "rgb(18, 22, 28)", "Light"]


def test_keyboard(dev):
    """An upload without a mouse: tab to each field, choose, type, and press Enter; every stop is visibly focused."""
    code = """
      await page.waitForFunction(() => !document.querySelector('#acting').hidden);
      const stops = [];
      const step = async () => {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
          const { activeElement: one } = document;
          const around = one.matches('#file') ? one.closest('.drop') : one;
          return [one.name || one.id || one.textContent.trim(), getComputedStyle(around).outlineStyle];
        });
        stops.push(at);
        return at[0];
      };
      await page.keyboard.press('Tab');
      const skip = await page.evaluate(() => document.activeElement.textContent);
      await page.keyboard.press('Enter');
      while ((await step()) !== 'inputs.path') if (stops.length > 30) return stops;
      await page.keyboard.type('notes/a.txt');
      while ((await step()) !== 'go') if (stops.length > 40) return stops;
      await page.keyboard.press('Enter');
      await page.waitForSelector('.anatomy');
      return [skip, stops.filter(([, outline]) => outline === 'none'), stops.map(([name]) => name)];
    """
    skip, unseen, stops = dev.run(code, "/try?route=papers")
    assert skip == "Skip to content"
    assert unseen == []
    assert [name for name in stops if name in ("route", "claims.sub", "file", "inputs.path", "key", "go")] == [
        "route",
        "claims.sub",
        "file",
        "inputs.path",
        "key",
        "go",
    ]


def test_permissions_in_place(dev):
    """An answer replaces the one before without leaving the page; the field at fault is focused."""
    code = """
      await page.evaluate(() => { window.same = true; });
      await page.fill('#try', 'PUT files/u1/a.txt');
      await page.click('#ask button');
      await page.waitForSelector('.decides');
      const lit = await page.textContent('.decides .mark');
      await page.fill('[name="claims.scope"]', 'nothing');
      await page.click('#ask button');
      await page.waitForSelector('.refused');
      return [lit, await page.evaluate(() => [window.same, document.activeElement.name])];
    """
    assert dev.run(code, "/permissions?route=user-folder") == [
        "This statement decides: allow",
        [True, "claims.scope"],
    ]


@pytest.mark.parametrize(
    "path", ["", "/routes/videos", "/try?route=avatars", "/permissions?route=avatars", "/credentials"]
)
def test_weight(dev, path):
    """A page that a browser sees for the first time is painted from few small files, all of them the broker's own."""
    code = """
      await page.waitForLoadState('networkidle');
      const paint = () => performance.getEntriesByName('first-contentful-paint')[0].startTime;
      return [await page.evaluate(paint), network];
    """
    painted, fetched = dev.run(code, path)
    weight = sum(one["bytes"] for one in fetched)
    SCREENSHOTS.mkdir(exist_ok=True)
    with (SCREENSHOTS / "figures.txt").open("a") as file:
        file.write(f"{path or '/'}: {weight} bytes in {len(fetched)} files, first paint after {painted:.0f} ms\n")
    assert {one["url"].removeprefix(dev.world.url)[:8] for one in fetched} <= {"/console", "/client."}
    assert 0 < weight < 150_000


def test_hostile_key(dev):
    """Keys with quotes, markup and what looks like a template are text everywhere."""
    key = "files/u1/<img src=x onerror=alert(1)>\"'`((7+7))&amp;.txt"
    code = """
      await page.fill('[name="key"]', given.hostile);
      await page.click('#go');
      await page.waitForSelector('.anatomy');
      return [await page.locator('#result img').count(), await page.textContent('.answer .facts-table bdi')];
    """
    images, shown = dev.run(code, "/try?route=papers", hostile=key)
    assert (images, shown) == (0, key)


def test_live(dev):
    """What is cached shows without a reload and without a flicker: what stays the same is the same element."""
    code = f"""
      {ASKING}
      await asked('private-files/download-url', {{ key: 'files/u1/a.txt' }});
      await page.reload();
      await page.waitForSelector('.life');
      await page.evaluate(() => {{ window.row = document.querySelector('.holdings li'); window.row.tabIndex = 0; }});
      const before = await page.textContent('.times b');
      await asked('reports/download-url', {{ inputs: {{ month: '2026-01' }} }});
      await page.waitForSelector('.what:has-text("reports")');
      await page.waitForFunction((text) => document.querySelector('.times b').textContent !== text, before);
      return page.evaluate(() => document.querySelector('.holdings li') === window.row && window.row.isConnected);
    """
    assert dev.run(code, "/credentials") is True


def test_pause(dev):
    """Who wants to read in peace pauses it, and goes on."""
    code = """
      const asked = () => network.filter(({ url }) => url.endsWith('part=live')).length;
      await page.waitForFunction(() => document.querySelector('#live-told').textContent.startsWith('Live'));
      await page.click('#live-pause');
      const paused = await page.textContent('#live-told');
      const before = asked();
      await page.clock.install();
      await page.click('#live-pause');
      await page.waitForFunction(() => document.querySelector('#live-told').textContent.startsWith('Live'));
      while (asked() === before) await new Promise((done) => setTimeout(done, 20));
      return [paused, await page.textContent('#live-pause')];
    """
    assert dev.run(code, "/credentials") == ["Paused", "Pause"]


def test_broker_away(dev):
    """While the broker does not answer, the page says since when, and goes on by itself once it does."""
    code = """
      await page.route('**/credentials?part=live', (route) => route.abort('connectionrefused'));
      await page.waitForSelector('#live-told:has-text("The broker does not answer")');
      await page.unroute('**/credentials?part=live');
      await page.waitForSelector('#live-told:has-text("Live")');
      return page.locator('#live').count();
    """
    assert dev.run(code, "/credentials") == 1
