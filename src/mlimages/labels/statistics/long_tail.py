"""How uneven the numbers of images of categories are: a few measures, each from one definition.

All take the counts n_1 >= n_2 >= ... >= n_k > 0 of the categories that have images at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MANY_ABOVE, FEW_BELOW = 100, 20


@dataclass(frozen=True)
class Shot:
    """One of the three parts of a long tail.

    Attributes:
        name: head, middle or tail.
        categories: how many.
        share_of_categories, share_of_tags: of all that have images.
    """

    name: str
    categories: int
    share_of_categories: float
    share_of_tags: float


@dataclass(frozen=True)
class LongTail:
    """Measures of imbalance; zeros when no category has images.

    Attributes:
        gini: Gini coefficient of the counts, 0 when all are equal and near 1 when one category has
            everything: sum_i (2i - k - 1) n_(i) / (k sum n), counts ascending (Gini 1912; the
            formula as in Damgaard and Weiner, Ecology 81, 2000).
        pareto_share: share of all tags that belongs to the most frequent 20 % of the categories
            (0.8 is the proverbial one; Newman, Contemporary Physics 46, 2005).
        imbalance_ratio: n_1 / n_k (Cui et al., Class-Balanced Loss, CVPR 2019).
        zipf_slope: s of n_r ~ r^-s, minus the slope of the least-squares line through
            (log rank, log count) (Zipf 1949; least squares is biased where the tail bends,
            see Clauset, Shalizi and Newman, SIAM Review 51, 2009).
        effective_categories: exp of the Shannon entropy of the counts' shares: the number of
            equally frequent categories of the same entropy (Hill, Ecology 54, 1973).
        shots: head, middle and tail: above 100 images, 20 to 100, under 20 (the many, medium and
            few shots of Liu et al., Large-Scale Long-Tailed Recognition, CVPR 2019).
    """

    gini: float
    pareto_share: float
    imbalance_ratio: float
    zipf_slope: float
    effective_categories: float
    shots: list[Shot]


def measure_long_tail(counts: ArrayLike) -> LongTail:
    """Measure the counts of images of categories; zeros among them are left out."""
    ascending = np.sort(np.asarray(counts, dtype=np.float64))
    ascending = ascending[ascending > 0]
    size, total = len(ascending), float(ascending.sum())
    if size == 0:
        return LongTail(0.0, 0.0, 0.0, 0.0, 0.0, _shots(ascending))
    places = 2 * np.arange(1, size + 1) - size - 1
    shares = ascending / total
    return LongTail(
        gini=float((places * ascending).sum() / (size * total)),
        pareto_share=float(ascending[-max(1, round(size / 5)) :].sum() / total),
        imbalance_ratio=float(ascending[-1] / ascending[0]),
        zipf_slope=_zipf_slope(ascending[::-1]),
        effective_categories=float(np.exp(-(shares * np.log(shares)).sum())),
        shots=_shots(ascending),
    )


def _zipf_slope(descending: NDArray[np.float64]) -> float:
    if len(descending) < 2:
        return 0.0
    ranks, counts = np.log(np.arange(1, len(descending) + 1)), np.log(descending)
    ranks, counts = ranks - ranks.mean(), counts - counts.mean()
    return float(-(ranks @ counts) / (ranks @ ranks))


def _shots(counts: NDArray[np.float64]) -> list[Shot]:
    parts = {
        "head": counts > MANY_ABOVE,
        "middle": (counts >= FEW_BELOW) & (counts <= MANY_ABOVE),
        "tail": counts < FEW_BELOW,
    }
    size, total = max(1, len(counts)), max(1.0, float(counts.sum()))
    return [
        Shot(name, int(part.sum()), float(part.sum() / size), float(counts[part].sum() / total))
        for name, part in parts.items()
    ]
