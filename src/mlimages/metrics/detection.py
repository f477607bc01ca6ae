"""Average precision of detections by PASCAL VOC's rules.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, and the evaluation in
its development kits. Of each class, over all images, detections are taken by falling score. Each is
held against the box of its class in its image that it overlaps most, by intersection over union
with both ends counted (a box from 1 to 10 is 10 pixels wide):

- below the threshold (0.5) it is a false positive;
- otherwise, where that box is marked difficult, it counts as nothing;
- otherwise the first one is a true positive, and every further one a false positive.

Recall is over the boxes that are not difficult. "voc07" is the mean, over the recalls 0, 0.1, ...,
1, of the greatest precision at or beyond each; "voc10" the area under the precision that only
falls.

Of detections with equal scores the kits leave the order open. Here they enter in the order in which
they were given, images in the order of `update`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Rule = Literal["voc07", "voc10"]
# As the kit's language counts from 0 to 1 by 0.1: from both ends. Only 0.3 is not the number
# nearest to three tenths, but the next above, which 3 boxes of 10 do not reach.
_STEPS = [*(0.1 * k for k in range(6)), *(1 - 0.1 * k for k in range(4, -1, -1))]


@dataclass(frozen=True)
class DetectionResult:
    """Average precision by class.

    Attributes:
        images: number of images.
        voc07, voc10: mean over the classes that have a box that counts, NaN without any.
        average_precision: by rule, [num_classes]; NaN where no box of the class counts.
        boxes: of each class that are not difficult.
        detections: of each class.
    """

    images: int
    voc07: float
    voc10: float
    average_precision: dict[Rule, np.ndarray] = field(repr=False)
    boxes: np.ndarray = field(repr=False)
    detections: np.ndarray = field(repr=False)


class VOCDetection:
    """Collects detections image by image.

    Boxes are [x_min, y_min, x_max, y_max] in pixels, both ends inside.

    Args:
        num_classes: number of classes.
        minimum_overlap: intersection over union from which a detection is right.
    """

    def __init__(self, num_classes: int, minimum_overlap: float = 0.5) -> None:
        self.num_classes, self.minimum_overlap = num_classes, minimum_overlap
        self._images = 0
        self._boxes = np.zeros(num_classes, np.int64)
        # Of each class, one entry an image: scores, boxes they stand for, which boxes are hard.
        self._matched: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [
            [] for _ in range(num_classes)
        ]

    def update(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        truth: np.ndarray,
        truth_labels: np.ndarray,
        difficult: np.ndarray | None = None,
    ) -> None:
        """Add an image.

        Args:
            boxes: [n, 4], detections.
            scores: [n], finite.
            labels: int [n], classes from 0.
            truth: [m, 4], the boxes that are there.
            truth_labels: int [m].
            difficult: bool [m]; none by default.

        Raises:
            ValueError: shapes disagree, a class is out of range, or a number is not finite.
        """
        boxes, truth = np.reshape(boxes, (-1, 4)), np.reshape(truth, (-1, 4))
        scores, labels = np.ravel(scores), np.ravel(labels).astype(int)
        truth_labels = np.ravel(truth_labels).astype(int)
        hard = np.zeros(len(truth), bool) if difficult is None else np.ravel(difficult).astype(bool)
        if not len(boxes) == len(scores) == len(labels) or not len(truth) == len(truth_labels):
            raise ValueError("as many scores and labels as boxes are needed")
        if len(hard) != len(truth):
            raise ValueError("`difficult` needs an entry for each true box")
        for values in (labels, truth_labels):
            if len(values) and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(f"a class is not among 0 to {self.num_classes - 1}")
        if not all(np.isfinite(values).all() for values in (boxes, scores, truth)):
            raise ValueError("a box or a score is not a finite number")
        self._images += 1
        self._boxes += np.bincount(truth_labels[~hard], minlength=self.num_classes)
        for label in np.unique(labels):
            mine, there = labels == label, truth_labels == label
            found = self._match(boxes[mine], truth[there], hard[there])
            self._matched[label].append((scores[mine], *found))

    def compute(self) -> DetectionResult:
        """Average precision of all classes; raises ValueError when no image was added."""
        if self._images == 0:
            raise ValueError("no images were added")
        values: dict[Rule, np.ndarray] = {
            rule: np.full(self.num_classes, np.nan) for rule in ("voc07", "voc10")
        }
        detections = np.zeros(self.num_classes, np.int64)
        for label in range(self.num_classes):
            detections[label] = sum(len(scores) for scores, _, _ in self._matched[label])
            if self._boxes[label]:
                recall, precision = self._curve(label)
                values["voc07"][label] = voc07(recall, precision)
                values["voc10"][label] = voc10(recall, precision)
        return DetectionResult(
            self._images,
            _mean(values["voc07"]),
            _mean(values["voc10"]),
            values,
            self._boxes,
            detections,
        )

    def _match(
        self, boxes: np.ndarray, truth: np.ndarray, hard: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Number of the true box each detection stands for, over all images; -1: none, -2: hard."""
        if not len(truth):
            return np.full(len(boxes), -1), np.zeros(0, bool)
        overlaps = overlap(boxes, truth)
        best = overlaps.argmax(1)
        enough = overlaps[np.arange(len(boxes)), best] >= self.minimum_overlap
        return np.where(enough, np.where(hard[best], -2, best), -1), hard

    def _curve(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision after each detection, by falling score."""
        scores, boxes, first = [np.empty(0)], [np.empty(0, int)], 0
        for image_scores, image_boxes, hard in self._matched[label]:
            scores.append(image_scores)
            boxes.append(np.where(image_boxes >= 0, image_boxes + first, image_boxes))
            first += len(hard)
        order = np.argsort(-np.concatenate(scores), kind="stable")
        ranked = np.concatenate(boxes)[order]
        true = np.zeros(len(ranked), bool)
        _, places = np.unique(ranked, return_index=True)  # the first detection of each box
        true[places] = True
        true &= ranked >= 0
        false = ~true & (ranked != -2)
        hits, misses = np.cumsum(true), np.cumsum(false)
        with np.errstate(invalid="ignore"):  # nothing yet but difficult ones
            precision = hits / (hits + misses)
        return hits / self._boxes[label], np.nan_to_num(precision)


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union, [n, m], of pixel boxes [n, 4] and [m, 4], both ends inside."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low + 1, 0, None).prod(2)
    areas, other_areas = ((b[:, 2:] - b[:, :2] + 1).prod(1) for b in (boxes, others))
    return shared / (areas[:, None] + other_areas[None] - shared)


def voc07(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over the recalls 0, 0.1, ..., 1 of the greatest precision at or beyond each."""
    return float(np.mean([precision[recall >= step].max(initial=0.0) for step in _STEPS]))


def voc10(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the precision made to fall with recall."""
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * falling[1:]).sum())


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
