"""Iterative stratification as its authors wrote it down: all is counted anew every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iterative_stratification(has: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """bool [images]: the smaller of two subsets of images x categories.

    Sechidis, Tsoumakas and Vlahavas 2011, algorithm 1, for the shares (1 - share, share).
    """
    rng = np.random.default_rng(seed)
    shares = np.array([1 - share, share])
    desired = shares * len(has)
    desired_of = np.outer(shares, has.sum(axis=0))
    left = np.ones(len(has), dtype=bool)
    subset = np.full(len(has), -1)
    while left.any():
        remaining = has[left].sum(axis=0).astype(float)
        remaining[remaining == 0] = np.inf
        if np.isinf(remaining).all():
            break
        rarest = remaining.argmin()
        for image in np.flatnonzero(left & has[:, rarest]):
            best = np.flatnonzero(desired_of[:, rarest] == desired_of[:, rarest].max())
            best = best[desired[best] == desired[best].max()]
            chosen = rng.choice(best)
            subset[image], left[image] = chosen, False
            desired_of[chosen, has[image]] -= 1
            desired[chosen] -= 1
    return subset == 1
