"""Signing in to the console where not everybody may look, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import local
from tests.interop import chrome
from tests.interop.chrome import PHONE, WIDE, Chrome

OWNERS = {"BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": '{"role": {"const": "owner"}}'}
SIGN_IN = """
  const signIn = async (token) => {
    await page.waitForSelector('#sign-in:not([hidden])');
    await page.fill('#token', token);
    await page.press('#token', 'Enter');
  };
"""


@pytest.fixture(scope="module")
def owners(folder: Path) -> Iterator[Chrome]:
    """A console for owners alone; the BFF's key has their claims, and so have JWTs that say so."""
    if reason := chrome.unstartable():
        pytest.skip(f"no browser can be started here: {reason}")
    with local.world(folder, local.free_port(), 0, BROKER_LOG_LEVEL="error", **OWNERS) as world:
        yield Chrome(world)


@pytest.fixture
def token(owners: Chrome) -> str:
    """An owner's JWT."""
    return owners.world.identities.token("u1", int(time.time()))


def test_every_section(owners, token):
    """Once signed in every section opens, by its links, by a reload, and by going back; the token is in no address."""
    code = f"""
      {SIGN_IN}
      await signIn(given.token);
      await page.waitForSelector('.routes');
      const seen = [await page.title()];
      for (const [name, wanted] of [['Try it', '#go'], ['Permissions', '#answer pre'], ['Credentials', '.states']]) {{
        await page.click(`nav >> text=${{name}}`);
        await page.waitForSelector(wanted);
        seen.push(await page.title());
      }}
      await page.reload();
      await page.waitForSelector('.states');
      await page.goBack();
      await page.waitForSelector('#answer pre');
      const kept = await page.evaluate(() => [localStorage.length, document.cookie, Object.keys(sessionStorage)]);
      return [seen, kept, network.map(({{ url }}) => url), await page.textContent('#who')];
    """
    seen, kept, addresses, who = owners.run(code, with_key=False, token=token)
    assert seen == [f"{name} · COS Broker" for name in ("Routes", "Try it", "Permissions", "Credentials")]
    assert kept == [0, "", ["broker-console"]]
    assert [address for address in addresses if token in address or token[-20:] in address] == []
    assert who == "JWT"


def test_sections_work(owners, token):
    """Behind the page for signing in everything works that works elsewhere: uploads, forms, what is live."""
    code = f"""
      {SIGN_IN}
      await signIn(given.token);
      await page.waitForSelector('#go');
      await page.selectOption('[name="inputs.ext"]', 'png');
      await page.setInputFiles('#file', file('a.png', 'picture'));
      await page.click('#go');
      await page.waitForSelector('.code');
      const key = await page.textContent('.answer .facts-table bdi');
      await page.goto(given.console + '/permissions?route=user-folder');
      await page.fill('#try', 'GET files/u2/a.txt');
      await page.click('#ask button');
      await page.waitForSelector('.verdict');
      const verdict = await page.textContent('.verdict strong');
      await page.goto(given.console + '/credentials');
      await page.waitForSelector('#live-told:has-text("Live")');
      const live = ({{ url, status }}) => url.endsWith('part=live') && status === 200;
      while (!network.some(live)) await page.waitForTimeout(50);
      return [key, verdict];
    """
    outcome = owners.observe(code, "/try?route=avatars", with_key=False, token=token)
    key, verdict = outcome["result"]
    assert (key[:11], verdict) == ("avatars/u1/", "Denied")
    # A page that is not yet signed in to answers 401, which the browser notes.
    assert [line for line in outcome["logged"] if "401" not in line] == []


def test_key_for_a_user(owners):
    """A key that acts for users is told for whom; the tried ask is that user's."""
    code = """
      await page.waitForSelector('#sign-in:not([hidden])');
      await page.fill('#token', given.bff);
      await page.click('summary');
      await page.fill('#principal', 'u7');
      await page.click('#sign-in button');
      await page.waitForSelector('#go');
      const who = await page.textContent('#who');
      for (const input of await page.locator('#acting input:not([name="claims.sub"])').all()) await input.fill('');
      await page.click('#go');
      await page.waitForSelector('.code');
      return [who, await page.textContent('.answer .facts-table bdi')];
    """
    assert owners.run(code, "/try?route=user-folder", with_key=False) == ["API key bff for u7", "files/u7/"]


@pytest.mark.parametrize(
    ("role", "told"),
    [("guest", "claims.role must be 'owner'"), (None, "expected Authorization: Bearer")],
)
def test_refused(owners, role, told):
    """Who may not look is told why, and can sign in as somebody else; nothing of the console is seen."""
    good = owners.world.identities.token("u1", int(time.time()))
    bad = owners.world.identities.token("u1", int(time.time()), role=role) if role else "nonsense"
    code = f"""
      {SIGN_IN}
      await signIn(given.bad);
      await page.waitForSelector('.refused');
      const text = await page.textContent('main');
      await page.fill('#token', given.good);
      await page.press('#token', 'Enter');
      await page.waitForSelector('.routes');
      return text;
    """
    text = owners.run(code, with_key=False, bad=bad, good=good)
    assert told in text
    assert "avatars" not in text


def test_signing_out(owners, token):
    """Signing out forgets; the next look has to sign in again."""
    code = f"""
      {SIGN_IN}
      await signIn(given.token);
      await page.waitForSelector('.routes');
      await page.click('#sign-out');
      await page.waitForSelector('#sign-in:not([hidden])');
      return page.evaluate(() => sessionStorage.length);
    """
    assert owners.run(code, with_key=False, token=token) == 0


def test_wrong_claims_of_a_user(owners):
    """Further claims that are no JSON are pointed out before anything is sent."""
    code = """
      await page.waitForSelector('#sign-in:not([hidden])');
      await page.fill('#token', 'a.b');
      await page.click('summary');
      await page.fill('#principal-claims', 'tenant=acme');
      await page.click('#sign-in button');
      await page.waitForFunction(() => document.querySelector('#sign-in-told').textContent);
      return [await page.textContent('#sign-in-told'), await page.evaluate(() => sessionStorage.length)];
    """
    text, kept = owners.run(code, with_key=False)
    assert text == 'The further claims must be a JSON object, such as {"tenant": "acme"}.'
    assert kept == 0


def test_broker_away(owners, token):
    """A broker that does not answer is said to be away; the token is kept."""
    code = f"""
      await page.waitForSelector('#sign-in:not([hidden])');
      await page.route('**/console', (route) => route.abort('connectionrefused'));
      {SIGN_IN}
      await signIn(given.token);
      await page.waitForFunction(() => document.querySelector('#sign-in-told').textContent);
      return page.textContent('#sign-in-told');
    """
    assert owners.run(code, with_key=False, token=token) == "The broker does not answer. Try again when it runs."


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (PHONE, "dark")])
def test_look(owners, size, theme):
    """The page for signing in is drawn whole, and axe-core finds nothing serious."""
    code = """
      await page.waitForSelector('#sign-in:not([hidden])');
      await shot(`sign-in-${given.theme}`);
      return [await axe(), await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)];
    """
    violations, wider = owners.run(code.replace("given.theme", f"'{theme}'"), with_key=False, size=size, theme=theme)
    assert violations == []
    assert wider <= 0
