"""By how much a process grows that fills its memory: `python -m tests.bench.filled SCOPES` prints bytes, twice.

The second figure is for when a URL has been signed with each credential, as happens to all that are in use.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

from broker.cos.signing import Request, Window
from tests.bench import samples
from tests.bench.processes import resident_bytes

_WARM = 100


def main(scopes: int) -> None:
    """Fill, sign and print."""
    with tempfile.TemporaryDirectory() as folder:
        route = samples.pictures(Path(folder))
    request = Request("GET", "https://host", "key", {"Host": "host"}, {})
    cache, warm, now = samples.open_cache(), samples.open_cache(), samples.clock()
    for number in range(_WARM):
        lent = warm.get(samples.demand(route, number), now)
        lent.credential.signer.presigned_url(request, Window(now - 60, now + 60))
    before = _resident_bytes()
    for number in range(scopes):
        cache.get(samples.demand(route, number), now)
    filled = _resident_bytes()
    for number in range(scopes):
        lent = cache.get(samples.demand(route, number), now)
        lent.credential.signer.presigned_url(request, Window(now - 60, now + 60))
    print(filled - before, _resident_bytes() - before)


def _resident_bytes() -> int:
    gc.collect()
    return resident_bytes()


if __name__ == "__main__":
    main(int(sys.argv[1]))
