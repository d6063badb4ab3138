"""The CORS rule of a route: all that browsers need for what it vends, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.policy import catalog, cors
from broker.policy.limits import Limits
from broker.policy.routes import Route
from tests.conftest import ODD_POLICIES, REPOSITORY

ORIGINS = ["https://app.example"]
# Route: the methods and headers that its vends have browsers send.
WANTED = {
    "avatars": ("PUT", "Content-Type Cache-Control x-cos-forbid-overwrite Authorization x-cos-security-token"),
    "avatar-download": ("GET", ""),
    "downloads": ("GET", ""),
    "reports": ("GET", ""),
    "my-files-delete": ("DELETE", ""),
    "private-files": ("GET HEAD", "Range If-None-Match"),
    "user-folder": ("GET PUT DELETE HEAD", "*"),
    "videos": ("GET PUT POST DELETE", "Content-Type x-cos-forbid-overwrite"),
    "anything": ("GET PUT DELETE HEAD", "*"),
    "needs": ("PUT", "Content-Type Content-Language"),
}


@pytest.fixture(scope="session")
def routes(policies: Path) -> dict[str, Route]:
    """Every route of the samples and the odd ones."""
    return dict(catalog.load(policies, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")).routes)


@pytest.mark.parametrize("name", WANTED)
def test_rule(routes, name):
    """Methods and headers are those of the vends; a star stands where headers cannot be listed."""
    methods, headers = WANTED[name]
    rule = cors.rule(routes[name], ORIGINS)
    assert (rule.name, rule.origins) == (name, tuple(ORIGINS))
    assert (rule.methods, rule.headers) == (tuple(methods.split()), tuple(headers.split()))


def test_every_sample():
    """No sample is left out above."""
    samples = {path.stem for path in (REPOSITORY / "policies").glob("*.json")} - {"policy.schema"}
    assert samples - set(WANTED) == set()
    assert set(WANTED) - samples <= set(ODD_POLICIES)
