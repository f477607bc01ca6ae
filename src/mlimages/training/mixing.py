"""Mixup and CutMix for any number of tags: each image takes a share of another one of its group.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018: pixels and targets are both
the sum of a share s of one image and 1 - s of the other. Yun et al., "CutMix", ICCV 2019: a
rectangle of the other image, a share 1 - s of the area, covers the same place of the first.

The other image is the next one of the same group of batch normalisation, and s depends on (seed,
epoch, sample) only, so that ranks, passes, workers and resuming change nothing. Targets stay sparse
and three-valued: a mixed term is s times that of the first and 1 - s times that of the other, where
what is unknown of an image weighs w as everywhere in the loss. For confidences z and with known = 1
where an image has an entry, an entry of either has

    weight  W = s known + (1 - s) known' + w (s (1 - known) + (1 - s) (1 - known'))
    value   (s z + (1 - s) z') / W
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from mlimages.losses.targets import SparseTargets
from mlimages.training.settings import Section

MIXING_STREAM = 4  # keeps these random numbers apart from others keyed by the same seed


@dataclass(frozen=True)
class MixingSettings(Section):
    """Which images are mixed with another one; see training/mixing.py."""

    section: ClassVar[str] = "mixing"
    mixup: float = 0.0
    """Share of the images that are added to another one."""
    mixup_alpha: float = 0.2
    """Shares of pixels and targets are drawn from Beta(alpha, alpha)."""
    cutmix: float = 0.0
    """Share of the images in which another one covers a rectangle."""
    cutmix_alpha: float = 1.0
    """Shares of the area are drawn from Beta(alpha, alpha)."""

    def __post_init__(self) -> None:
        self.expect("mixup", 0 <= self.mixup <= 1, "0 to 1")
        together = self.mixup + self.cutmix <= 1
        self.expect("cutmix", self.cutmix >= 0 and together, "0 to 1 - mixing.mixup")
        self.expect("mixup_alpha", 0.01 <= self.mixup_alpha <= 100, "0.01 to 100")
        self.expect("cutmix_alpha", 0.01 <= self.cutmix_alpha <= 100, "0.01 to 100")

    def __bool__(self) -> bool:
        """Whether anything is mixed."""
        return self.mixup + self.cutmix > 0


@dataclass(frozen=True)
class Mixture:
    """How the images of a batch are mixed.

    Attributes:
        shares: float64 [n], of each image in itself; 1: it stays as it is.
        boxes: int64 [n, 4], left, top, right and bottom of what another one covers; of no area
            where images are added.
        partners: int64 [n], position of the other image.
    """

    shares: np.ndarray
    boxes: np.ndarray
    partners: np.ndarray

    def part(self, images: slice) -> Mixture:
        """That of some of the images, which must be whole groups."""
        partners = self.partners[images] - images.start
        return Mixture(self.shares[images], self.boxes[images], partners)

    def mix_images(self, images: np.ndarray) -> None:
        """Mix uint8 [n, side, side, 3] in place."""
        original = images.copy()
        for place in np.flatnonzero(self.shares < 1):
            image, other = images[place], original[self.partners[place]]
            left, top, right, bottom = self.boxes[place]
            if right > left:
                image[top:bottom, left:right] = other[top:bottom, left:right]
                continue
            share = np.float32(self.shares[place])
            image[:] = np.rint(share * image + (1 - share) * other)

    def mix_targets(self, targets: SparseTargets, unknown_weight: float = 1.0) -> SparseTargets:
        """The targets of the mixed images.

        Args:
            targets: of the images, with values from 0 to 1.
            unknown_weight: w; with 1 the answer has no weights: they would all be 1.
        """
        others = targets.take(torch.from_numpy(self.partners))
        shares = torch.from_numpy(self.shares)
        said = torch.cat([shares[targets.rows], 1 - shares[others.rows]])
        values = torch.cat([targets.values, others.values]) * said
        rows = torch.cat([targets.rows, others.rows])
        cells = rows * targets.num_classes + torch.cat([targets.indices, others.indices])
        counts = said > 0  # of images that are not mixed, the other's entries do not
        cells, place = torch.unique(cells[counts], return_inverse=True)
        known, value = torch.zeros(2, len(cells), dtype=torch.float64)
        known.index_add_(0, place, said[counts])
        value.index_add_(0, place, values[counts])
        weights = known + (1 - known) * unknown_weight
        per_image = torch.bincount(cells // targets.num_classes, minlength=len(targets))
        return SparseTargets(
            torch.cat([per_image.new_zeros(1), per_image.cumsum(0)]),
            cells % targets.num_classes,
            (value / weights).float(),
            targets.num_classes,
            None if unknown_weight == 1 else weights.float(),
        )


def draw_mixture(
    settings: MixingSettings,
    seed: int,
    epochs: np.ndarray,
    samples: np.ndarray,
    groups: np.ndarray,
    side: int,
) -> Mixture:
    """Draw how a batch is mixed.

    Args:
        settings: of the recipe.
        seed: of the recipe.
        epochs, samples: int64 [n], of the images.
        groups: int64 [groups + 1], where each group of images starts, and the end.
        side: of the images, pixels.
    """
    count = len(samples)
    partners = np.arange(1, count + 1)
    partners[groups[1:] - 1] = groups[:-1]  # the last of a group takes from its first
    shares, boxes = np.ones(count), np.zeros((count, 4), np.int64)
    for place, (epoch, sample) in enumerate(zip(epochs.tolist(), samples.tolist(), strict=True)):
        bits = np.random.Philox(key=[seed, epoch], counter=[0, 0, sample, MIXING_STREAM])
        numbers = np.random.Generator(bits)
        kind, across, down = numbers.random(3)
        if kind < settings.mixup:
            shares[place] = numbers.beta(settings.mixup_alpha, settings.mixup_alpha)
        elif kind < settings.mixup + settings.cutmix:
            kept = numbers.beta(settings.cutmix_alpha, settings.cutmix_alpha)
            boxes[place] = _box(side, math.sqrt(1 - kept), across, down)
            left, top, right, bottom = boxes[place]
            shares[place] = 1 - (right - left) * (bottom - top) / side**2
    return Mixture(shares, boxes, partners)


def _box(side: int, ratio: float, across: float, down: float) -> tuple[int, int, int, int]:
    """A square of a share of the side about a point anywhere, cut at the border as published."""
    half, centres = side * ratio / 2, (across * side, down * side)
    left, top = (round(max(0.0, centre - half)) for centre in centres)
    right, bottom = (round(min(side, centre + half)) for centre in centres)
    return (left, top, right, bottom) if right > left and bottom > top else (0, 0, 0, 0)
