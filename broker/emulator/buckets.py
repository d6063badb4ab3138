"""Which bucket a request means, and in which region: by its Host, or because there is only one bucket.

A bucket exists from its first request that was allowed, or from the first session policy that names it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from broker.cos import requests
from broker.emulator.refusals import CosError

# What a bucket that was never seen with a region gets in its CAM resources.
_SOME_REGION = "ap-guangzhou"
_REGION_OF_HOST = re.compile(r"cos(?:-internal)?\.([a-z0-9-]+)\.")


class Place(NamedTuple):
    """Where a request goes."""

    bucket: str
    region: str


class Buckets:
    """The buckets that exist, each in one region."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._given = dict(known)
        self._regions: dict[str, str | None] = dict(known)

    def forget(self) -> None:
        """Only the buckets given at the start are left."""
        with self._lock:
            self._regions = dict(self._given)

    def learn(self, seen: Iterable[tuple[str, str | None]]) -> None:
        """Each (bucket, region) exists from now on; the first region that was ever said for a bucket stays."""
        with self._lock:
            for bucket, region in seen:
                self._regions[bucket] = self._regions.get(bucket) or region

    def locate(self, host: str) -> Place:
        """The bucket that a Host header means, whether it exists yet or not."""
        bucket, region = named_by(host)
        with self._lock:
            known = dict(self._regions)
        if bucket is None:
            bucket = _only_one(known, host)
        home = known.get(bucket)
        if home and region and home != region:
            raise CosError("NoSuchBucket", f"The bucket {bucket} is in {home}, not in {region}.")
        return Place(bucket, home or region or _SOME_REGION)


def named_by(host: str) -> tuple[str | None, str | None]:
    """(bucket, region) as far as a Host header tells them: `BUCKET.…`, `BUCKET.cos.REGION.…`."""
    bucket, _, domain = host.lower().partition(".")
    if not domain or not requests.BUCKET.fullmatch(bucket):
        return None, None
    found = _REGION_OF_HOST.match(domain)
    region = found[1] if found and requests.REGION.fullmatch(found[1]) else None
    return bucket, region


def _only_one(known: Mapping[str, str | None], host: str) -> str:
    if len(known) == 1:
        return next(iter(known))
    named = ", ".join(sorted(known)) or "none"
    raise CosError(
        "NoSuchBucket",
        f"The host {host} names no bucket and the emulator has not exactly one (known: {named}). "
        "Use a host that begins with the bucket's name, as in BUCKET.localhost.",
    )
