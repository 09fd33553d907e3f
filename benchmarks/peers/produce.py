"""``python -m benchmarks.peers.produce MODULE COUNT BULK``: put tasks in; prints how many seconds it took."""

from __future__ import annotations

import importlib
import sys
import time

if __name__ == "__main__":
    module = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
    began = time.perf_counter()
    module.produce(int(sys.argv[2]), sys.argv[3] == "1")
    print(time.perf_counter() - began)
