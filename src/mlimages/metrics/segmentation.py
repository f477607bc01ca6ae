"""Mean intersection over union of segmentations, by PASCAL VOC's rules.

A confusion matrix over all pixels of all images; pixels whose true value is void (255) count
nowhere. Of each class the intersection over the union; classes that occur neither in truth nor in
prediction have none, and the mean is over the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

VOID = 255


@dataclass(frozen=True)
class SegmentationResult:
    """Measures over all pixels.

    Attributes:
        images: number of images.
        mean_iou: over the classes that occur.
        pixel_accuracy: share of the pixels that are right.
        mean_accuracy: over the classes that are there, the share of their pixels that is found.
        iou: [num_classes], NaN for classes that do not occur.
        confusion: int64 [true class, predicted class], pixels.
    """

    images: int
    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    iou: np.ndarray = field(repr=False)
    confusion: np.ndarray = field(repr=False)


class Segmentation:
    """Collects masks image by image.

    Args:
        num_classes: number of classes, background included.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.images = 0

    def update(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add an image.

        Args:
            predicted: int [height, width], classes.
            truth: int [height, width], classes or VOID.

        Raises:
            ValueError: the shapes differ, or a value is neither a class nor, in truth, VOID.
        """
        if predicted.shape != truth.shape:
            raise ValueError(f"a mask of {predicted.shape}, but the truth has {truth.shape}")
        known = truth != VOID
        true, found = truth[known].astype(np.int64), predicted[known].astype(np.int64)
        for values in (true, found):
            if len(values) and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(f"a value is not among 0 to {self.num_classes - 1}")
        pairs = np.bincount(true * self.num_classes + found, minlength=self.num_classes**2)
        self.confusion += pairs.reshape(self.num_classes, self.num_classes)
        self.images += 1

    def compute(self) -> SegmentationResult:
        """All measures; raises ValueError when no pixel was added."""
        total = self.confusion.sum()
        if total == 0:
            raise ValueError("no pixels were added")
        right = np.diag(self.confusion)
        there, found = self.confusion.sum(1), self.confusion.sum(0)
        with np.errstate(invalid="ignore"):
            iou = right / (there + found - right)
            accuracy = right / there
        return SegmentationResult(
            self.images,
            float(np.nanmean(iou)),
            float(right.sum() / total),
            float(np.nanmean(accuracy)),
            iou,
            self.confusion.copy(),
        )
