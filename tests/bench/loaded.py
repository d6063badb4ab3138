"""What a folder of policies costs a process: `python -m tests.bench.loaded FOLDER` prints seconds and bytes."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

from broker.policy import catalog
from broker.policy.limits import Limits
from tests.bench.processes import resident_bytes


def main(folder: Path) -> None:
    """Load the samples, so that everything is imported, then the folder."""
    limits = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")
    catalog.load(Path("policies"), limits)
    gc.collect()
    before, begun = resident_bytes(), time.perf_counter()
    loaded = catalog.load(folder, limits)
    seconds = time.perf_counter() - begun
    gc.collect()
    print(seconds, resident_bytes() - before)
    assert loaded.routes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
