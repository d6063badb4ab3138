"""`serve` with little patience for headers: `python -m tests.web.impatient PORT SECONDS`."""

from __future__ import annotations

import sys

from broker import serving

if __name__ == "__main__":
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    serving.run(serving.load_app, "127.0.0.1", port, workers=1, threads=2, header_read_seconds=seconds)
