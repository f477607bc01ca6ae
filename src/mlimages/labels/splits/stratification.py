"""Choosing validation images so that every category gives its share: stratified multi-label splits.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label
data, ECML PKDD 2011) deals out the images of the rarest category first, since they can be dealt
badly only once. It looks at all images again after each one. Here each image is looked at once, in
the group of its rarest category, so that 17 million images need minutes and little memory:

- Groups are taken from the rarest category to the most frequent one.
- A group offers candidates: the images with the least hashes, a few times as many as its category's
  share. What the whole group holds of other categories is estimated from them.
- Among them the image is taken that lowers the cost most, again and again while one lowers it:

      cost = sum over categories t of (v D_t - V_t)^2 / (v n_t + 1)

  with n_t images of t, D_t of them in groups decided so far and V_t taken for validation, for a
  share v. (A random split has deviations of about sqrt(v n_t).) So what rounding leaves over in
  small categories is made up in the categories above them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OFFERED = 4.0
"""Candidates of a group, as a multiple of its category's share of validation images."""
OFFERED_AT_LEAST = 8
_BATCHES = 8  # an eighth of what is missing is taken before gains are computed again


@dataclass
class Ledger:
    """Counts of every category while groups are decided.

    Attributes:
        share: v, the part of all images that validation gets.
        sizes: int64 [categories], n.
        decided: float64 [categories], D: images in groups decided so far.
        taken: int64 [categories], V: images taken for validation.
    """

    share: float
    sizes: NDArray[np.int64]
    decided: NDArray[np.float64]
    taken: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.weights = 1 / (self.share * self.sizes + 1)

    def gains(self, categories: NDArray[np.int32], indptr: NDArray[np.int64]) -> NDArray:
        """float64 [images]: by how much the cost falls when an image is taken."""
        missing = self.share * self.decided[categories] - self.taken[categories]
        return np.add.reduceat(self.weights[categories] * (2 * missing - 1), indptr[:-1])


def rarest_first(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Categories with images, the rarest first; the lower index among equals."""
    order = np.argsort(sizes, kind="stable")
    return order[sizes[order] > 0]


def offered(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """int64 [categories]: the most candidates that a category's group offers."""
    return np.ceil(OFFERED * share * sizes).astype(np.int64) + OFFERED_AT_LEAST


def take_from_group(
    ledger: Ledger,
    category: int,
    group_size: int,
    categories: NDArray[np.int32],
    indptr: NDArray[np.int64],
    minimum: int,
) -> NDArray[np.int64]:
    """Decide one group: which of its candidates go to validation.

    Args:
        ledger: changed in place.
        category: the one that is the rarest of every image in the group.
        group_size: images of the group.
        categories: int32 [tags] of the candidates, which are in the order of their hashes.
        indptr: int64 [candidates + 1]; every candidate has a tag at least.
        minimum: validation images of each category whose share is half of that or more, so that
            no share is more than doubled for it.

    Returns:
        Positions of the candidates that were taken.
    """
    size = int(ledger.sizes[category])
    count = len(indptr) - 1
    np.add.at(ledger.decided, categories, group_size / max(1, count))
    ledger.decided[category] = size  # every image that has it is in this group or an earlier one
    if size < 2:
        return np.empty(0, np.int64)  # its only image is for training
    required = minimum if 2 * ledger.share * size >= minimum else 0
    free = np.ones(count, dtype=bool)
    while free.any():
        missing = ledger.share * size - ledger.taken[category]
        forced = max(0, required - int(ledger.taken[category]))
        gains = np.where(free, ledger.gains(categories, indptr), -np.inf)
        batch = np.argsort(-gains, kind="stable")[: max(1, int(missing) // _BATCHES)]
        keep = (gains[batch] > 0) | (np.arange(len(batch)) < forced)
        batch = batch[keep & free[batch]]
        if len(batch) == 0:
            break
        free[batch] = False
        for position in batch.tolist():
            ledger.taken[categories[indptr[position] : indptr[position + 1]]] += 1
    return np.flatnonzero(~free)


@dataclass(frozen=True)
class Deviation:
    """How far a split is from giving every category its share.

    Attributes:
        images: mean over categories of |V - v n|, in images.
        share: mean over categories of |V / n - v|.
        label_distribution: LD of Sechidis et al. 2011: mean over categories and both subsets of
            the difference between odds of the category in the subset and in the whole.
        without_validation: categories of two images or more without a validation image.
        without_training: the same without a training image.
    """

    images: float
    share: float
    label_distribution: float
    without_validation: int
    without_training: int


def measure_deviation(
    sizes: NDArray[np.int64], taken: NDArray[np.int64], images: int, validation: int, share: float
) -> Deviation:
    """Measure a split.

    Args:
        sizes: int64 [categories], images of each.
        taken: int64 [categories], validation images of each.
        images, validation: number of all images, and of validation images.
        share: v, as asked for.
    """
    some = sizes > 0
    n, v = sizes[some].astype(np.float64), taken[some].astype(np.float64)
    if not some.any():
        return Deviation(0.0, 0.0, 0.0, 0, 0)

    def odds(positive: NDArray[np.float64], of: int) -> NDArray[np.float64]:
        return positive / np.maximum(of - positive, 1)

    whole = odds(n, images)
    differences = [
        np.abs(odds(v, validation) - whole),
        np.abs(odds(n - v, images - validation) - whole),
    ]
    return Deviation(
        images=float(np.abs(v - share * n).mean()),
        share=float(np.abs(v / n - share).mean()),
        label_distribution=float(np.mean(differences)),
        without_validation=int(np.count_nonzero((n >= 2) & (v == 0))),
        without_training=int(np.count_nonzero((n >= 2) & (v == n))),
    )
