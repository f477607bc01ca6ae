"""Groups of categories whose mean average precision is told apart: by frequency, and by depth."""

from __future__ import annotations

import numpy as np

HEAD_ABOVE, TAIL_BELOW = 100, 20
"""Training images of a category: head above the first, tail below the second, middle between; the
many, medium and few of Liu et al., "Large-Scale Long-Tailed Recognition", CVPR 2019."""


def by_frequency(training_images: np.ndarray) -> dict[str, np.ndarray]:
    """Head, middle and tail of categories, given the training images of each, [categories]."""
    head, tail = training_images > HEAD_ABOVE, training_images < TAIL_BELOW
    masks = {"head": head, "middle": ~head & ~tail, "tail": tail}
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def by_depth(depths: np.ndarray) -> dict[str, np.ndarray]:
    """Categories of depth 0 (the roots), 1 and so on, given the depth of each, [categories]."""
    return {str(depth): np.flatnonzero(depths == depth) for depth in np.unique(depths)}
