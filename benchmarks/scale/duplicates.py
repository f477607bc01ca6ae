"""The search for close hashes among a million and among 17.6 million, with planted pairs."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.images.duplicates.search import Hashes, Limits, close_pairs

SIZES = {False: (1_000_000, 17_600_000), True: (100_000, 1_000_000)}
RADIUS = 8
PLANTED = 10_000


def measure(quick: bool) -> dict[str, Any]:
    """Search random hashes that hold pairs of every distance up to the radius.

    Returns:
        `seconds` and `peak_gb` (of the process so far) by number of hashes, and `notes`: pairs
        found, and how many of the planted ones.
    """
    result: dict[str, Any] = {"seconds": {}, "peak_gb": {}, "notes": {}}
    warm = Hashes(np.zeros(2, np.uint64), np.zeros(2, np.uint64))
    close_pairs(warm, Limits(RADIUS))  # compiles
    for size in SIZES[quick]:
        hashes, planted = _draw(size)
        start = time.perf_counter()
        found = close_pairs(Hashes(hashes, hashes), Limits(RADIUS))
        name = f"search_{size}"
        result["seconds"][name] = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        result["peak_gb"][name] = peak / 1e9
        keys = found.pairs.max(0).astype(np.int64) * size + found.pairs.min(0)
        hit = int(np.isin(planted, keys).sum())
        result["notes"][name] = {
            "pairs": found.pairs.shape[1],
            "planted": len(planted),
            "planted_found": hit,
        }
    return result


def _draw(size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes, and the planted pairs as later place * size + earlier place."""
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 64, size, np.uint64)
    places = generator.permutation(size)[: 2 * PLANTED].reshape(2, -1)
    hashes[places[1]] = hashes[places[0]]
    for pair, place in enumerate(places[1].tolist()):
        for bit in generator.permutation(64)[: pair % (RADIUS + 1)].tolist():
            hashes[place] ^= np.uint64(1 << bit)
    return hashes, places.max(0).astype(np.int64) * size + places.min(0)


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(measure("--quick" in sys.argv), indent=1))
