"""Pages of other origins in a real browser, which sends preflights, and keeps answers from who is not listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker import local
from tests.interop.javascript import Place, unstartable
from tests.interop.listening import Quiet, listening

# What a page can learn of an answer; a refusal of the browser itself is an error without one.
FETCH = """
  const learn = (path, options) => fetch(given.api + path, options).then(
    async (answer) => [answer.status, answer.headers.get('X-Request-Id'), (await answer.json()).code ?? null],
    (error) => error.name,
  );
  const asking = (more = {}) => ({
    method: 'POST',
    headers: { Authorization: `Bearer ${given.token}`, 'Content-Type': 'application/json', ...more },
    body: '{"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "7"}}',
  });
"""


class _EmptyPage(Quiet):
    def do_GET(self) -> None:  # noqa: N802  as its base looks for it
        """A page of nothing."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b'<!doctype html><link rel="icon" href="data:,">')


@pytest.fixture(scope="module")
def origins(folder: Path) -> Iterator[dict[str, Place]]:
    """The same broker, which one of two origins may use."""
    if reason := unstartable():
        pytest.skip(f"no browser can be started here: {reason}")
    with listening(_EmptyPage) as listed, listening(_EmptyPage) as stranger:
        settings = {"BROKER_CORS_ORIGINS": listed, "BROKER_LOG_LEVEL": "error"}
        with local.world(folder, local.free_port(), 0, **settings) as world:
            yield {
                name: Place("chromium", page, world.url, world.emulator, world.identities)
                for name, page in {"listed": listed, "stranger": stranger}.items()
            }


def learned(place: Place, asks: str) -> Any:
    """What a page learns from some asks; `client.js` is not loaded first."""
    told = {"api": place.api, "token": place.token()}
    drive = """
      const run = `(async (given) => { ${given.inside} })(${JSON.stringify(given.told)})`;
      return page.evaluate(run);
    """
    return place.observe("", drive, inside=f"{FETCH} return [{asks}];", told=told)["result"]


def test_listed(origins):
    """A page of a listed origin asks with a token and reads answers and refusals, ids of requests included."""
    asks = """
      await learn('/v1', { headers: { Authorization: `Bearer ${given.token}` } }),
      await learn('/v1/avatars/url', asking({ 'X-Request-Id': 'from-a-page' })),
      await learn('/v1/nope/url', asking()),
      await learn('/v1/avatars/url', asking({ Authorization: 'Bearer none' })),
      await learn('/openapi.json', {}),
    """
    routes, granted, missing, unknown, described = learned(origins["listed"], asks)
    assert (routes[0], described[0]) == (200, 200)
    assert granted == [200, "from-a-page", None]
    assert (missing[0], missing[2]) == (404, "route_not_found")
    assert (unknown[0], unknown[2]) == (401, "unauthenticated")
    assert len({routes[1], missing[1], unknown[1], described[1], None}) == 5


def test_uploads(origins):
    """The served module works from there as it does at home."""
    code = """
      const file = new File(['picture'], 'a.png', { type: 'image/png' });
      return client.upload(given.api, 'avatars', file, { inputs: { ext: 'png' }, token: given.token });
    """
    assert origins["listed"].run(code)["key"].startswith("avatars/u1/")


@pytest.mark.parametrize("header", ["X-Principal", "X-Principal-Claims"])
def test_no_other_principal(origins, header):
    """Nobody acts for others from a page: its preflight refuses the header, and the ask is never sent."""
    place = origins["listed"]
    before = place.emulator.stats()["sts"]
    asks = f"await learn('/v1/avatars/url', asking({{ '{header}': 'u2' }}))"
    assert learned(place, asks) == ["TypeError"]
    assert place.emulator.stats()["sts"] == before


def test_stranger(origins):
    """Another origin's page reads nothing, and its asks with a token are not even sent."""
    place = origins["stranger"]
    before = place.emulator.stats()["sts"]
    asks = """
      await learn('/v1/avatars/url', asking()),
      await learn('/v1', { headers: { Authorization: `Bearer ${given.token}` } }),
      await learn('/openapi.json', {}),
      await import(given.api + '/client.js').then(() => 'loaded', (error) => error.name),
    """
    assert learned(place, asks) == ["TypeError"] * 4
    assert place.emulator.stats()["sts"] == before
