"""These tests need Node and the vendor's Node SDK, so they run only when asked for.

`make interop` asks, by setting `INTEROP=1`, after `npm install --no-audit --no-fund --prefix tests/interop`.
"""

import os

collect_ignore_glob = [] if os.environ.get("INTEROP") else ["test_*.py"]
