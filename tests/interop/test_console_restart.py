"""A broker that is really started again while somebody looks and uploads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker import local
from tests.interop import chrome
from tests.interop.chrome import Chrome
from tests.interop.listening import Quiet, listening


@contextlib.contextmanager
def signal(act: Callable[[], object]) -> Iterator[str]:
    """An address; who asks it hears when `act` is done."""

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802  as its base looks for it
            """Do it."""
            act()
            self.send_response(204)
            self.end_headers()

    with listening(Handler) as origin:
        yield f"{origin}/"


@pytest.fixture
def restarting(folder: Path) -> Iterator[tuple[Chrome, str]]:
    """A browser in front of a broker, and the address that ends this broker and starts another in its place."""
    if reason := chrome.unstartable():
        pytest.skip(f"no browser can be started here: {reason}")
    everybody = {"BROKER_ANONYMOUS": "1", "BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": "{}"}
    port = local.free_port()
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(local.world(folder, port, 0, BROKER_LOG_LEVEL="error", **everybody))

        def restart() -> None:
            world.broker.terminate()
            world.broker.wait()
            stack.enter_context(local.serving(world.environ, port))

        yield Chrome(world), stack.enter_context(signal(restart))


def test_upload(restarting):
    """An upload in parts goes on with the broker that came instead, which knows the credential from Redis."""
    browser, address = restarting
    code = """
      await page.setInputFiles('#file', file('a.mp4', new Uint8Array(40 * 2 ** 20)));
      await page.selectOption('[name="inputs.ext"]', 'mp4');
      let release;
      const restarted = new Promise((done) => (release = done));
      await page.route(`${given.cos}/**`, async (route) => {
        const part = /partNumber=(\\d+)/.exec(route.request().url())?.[1];
        if (route.request().method() === 'PUT' && Number(part) > 2) await restarted;
        await route.continue();
      });
      await page.click('#go');
      await page.waitForFunction(() => document.querySelectorAll('#parts .sent').length === 2);
      await fetch(given.address);
      release();
      await page.waitForSelector('.code');
      return page.textContent('#parts');
    """
    assert browser.run(code, "/try?route=videos", address=address) == "5 of 5 parts of 8 MiB"
    counts = browser.world.emulator.stats()
    assert (counts["cos"]["UploadPart"], counts["cos"]["CompleteMultipartUpload"]) == (5, 1)


def test_live(restarting):
    """What is live goes on by itself once there is a broker again."""
    browser, address = restarting
    code = """
      await page.waitForSelector('#live-told:has-text("Live")');
      await fetch(given.address);
      const before = network.length;
      const live = ({ url, status }) => url.endsWith('part=live') && status === 200;
      while (!network.slice(before).some(live)) await page.waitForTimeout(50);
      return page.textContent('#live-told');
    """
    assert browser.run(code, "/credentials", address=address).startswith("Live")
