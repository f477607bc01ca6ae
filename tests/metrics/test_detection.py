"""VOC's average precision on cases worked out by hand, against a plain loop, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.metrics.detection import VOCDetection, overlap, voc07, voc10

A, B, C = [0, 0, 9, 9], [100, 0, 109, 9], [200, 0, 209, 9]
FAR = [300, 300, 309, 309]
ELEVENTH = 1 / 11


def measure(detections, truth, difficult=(), rule="voc10"):
    """One image, one class: detections are (box, score); `difficult` numbers true boxes."""
    metric = VOCDetection(1)
    hard = np.isin(np.arange(len(truth)), difficult)
    boxes = np.array([box for box, _ in detections], float)
    scores = np.array([score for _, score in detections], float)
    labels = np.zeros(len(detections), int)
    metric.update(boxes, scores, labels, np.array(truth, float), np.zeros(len(truth), int), hard)
    return metric.compute().average_precision[rule][0]


# (what, detections, true boxes, difficult ones, voc07, voc10), each worked out by hand.
CASES = [
    ("the one box is found", [(A, 0.9)], [A], [], 1, 1),
    ("nothing is found", [], [A], [], 0, 0),
    ("only something else is found", [(FAR, 0.9)], [A], [], 0, 0),
    ("one of two: precision 1 up to recall 0.5", [(A, 0.9)], [A, B], [], 6 * ELEVENTH, 0.5),
    ("a miss first: precision 1/2 everywhere", [(FAR, 0.9), (A, 0.8)], [A], [], 0.5, 0.5),
    ("a miss last changes nothing", [(A, 0.9), (FAR, 0.8)], [A], [], 1, 1),
    ("a second detection of a box is a miss", [(A, 0.9), (A, 0.8), (B, 0.7)], [A, B], [],
     (6 + 5 * 2 / 3) * ELEVENTH, 0.5 + 0.5 * 2 / 3),
    ("hit, miss, hit", [(A, 0.9), (FAR, 0.8), (B, 0.7)], [A, B], [],
     (6 + 5 * 2 / 3) * ELEVENTH, 0.5 + 0.5 * 2 / 3),
    ("a difficult box found counts as nothing", [(B, 0.9), (A, 0.8)], [A, B], [1], 1, 1),
    ("a difficult box missed counts as nothing", [(A, 0.9)], [A, B], [1], 1, 1),
    ("found twice, a difficult box still counts as nothing", [(B, 0.9), (B, 0.8), (A, 0.7)],
     [A, B], [1], 1, 1),
    ("precision rises later: the envelope takes it", [(FAR, 0.9), (A, 0.8), (B, 0.7), (C, 0.6)],
     [A, B, C], [], 0.75, 0.75),
    ("one of three, then two misses", [(A, 0.9), (FAR, 0.8), (FAR, 0.7)], [A, B, C], [],
     4 * ELEVENTH, 1 / 3),
    ("an overlap of exactly one half is enough", [([0, 0, 9, 4], 0.9)], [A], [], 1, 1),
    ("an overlap of 49 in 100 is not", [([0, 0, 6, 6], 0.9)], [A], [], 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_worked_cases(case):
    _, detections, truth, difficult, expected07, expected10 = case
    assert measure(detections, truth, difficult, "voc07") == pytest.approx(expected07)
    assert measure(detections, truth, difficult, "voc10") == pytest.approx(expected10)


def test_a_detection_is_held_against_the_box_it_overlaps_most():
    # It overlaps both by half or more; the nearer one is taken already, so it is a miss.
    truth = [[0, 0, 9, 9], [0, 2, 9, 11]]
    detections = [([0, 0, 9, 9], 0.9), ([0, 0, 9, 10], 0.8)]
    assert overlap(np.array([detections[1][0]]), np.array(truth)).min() > 0.5
    assert measure(detections, truth) == 0.5


def test_a_class_with_difficult_boxes_only_has_no_average_precision():
    assert np.isnan(measure([(A, 0.9)], [A], [0]))


def test_equal_scores_enter_in_the_order_they_are_given():
    assert measure([(A, 0.5), (FAR, 0.5)], [A]) == 1
    assert measure([(FAR, 0.5), (A, 0.5)], [A]) == 0.5


def test_classes_and_images_are_kept_apart():
    metric = VOCDetection(3)
    metric.update(np.array([A, A]), [0.9, 0.8], [0, 1], np.array([A]), [0])
    metric.update(np.array([A]), [0.7], [0], np.array([A, B]), [0, 1])
    result = metric.compute()
    np.testing.assert_array_equal(result.average_precision["voc10"], [1, 0, np.nan])
    assert result.voc10 == 0.5
    assert result.boxes.tolist() == [2, 1, 0]
    assert result.detections.tolist() == [2, 1, 0]
    assert result.images == 2


def loop(images, minimum=0.5):
    """The development kit's procedure, step by step, for one class."""
    entries = [
        (score, number, box)
        for number, (detections, _, _) in enumerate(images)
        for box, score in detections
    ]
    entries.sort(key=lambda entry: -entry[0])
    taken = [[False] * len(truth) for _, truth, _ in images]
    count = sum(not hard for _, _, hards in images for hard in hards)
    true, false, recall, precision = 0, 0, [], []
    for _, number, box in entries:
        best, place = -1.0, -1
        for k, other in enumerate(images[number][1]):
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            if width > 0 and height > 0:
                areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other)]
                iou = width * height / (sum(areas) - width * height)
                if iou > best:
                    best, place = iou, k
        if best >= minimum:
            if not images[number][2][place]:
                if not taken[number][place]:
                    true, taken[number][place] = true + 1, True
                else:
                    false += 1
        else:
            false += 1
        recall.append(true / count)
        precision.append(true / (true + false) if true + false else 0.0)
    steps = [0, 0.1, 0.2, 0.1 * 3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    curve = list(zip(recall, precision, strict=True))
    at = [max((p for r, p in curve if r >= step), default=0) for step in steps]
    area, before = 0.0, 0.0
    for i, r in enumerate(recall):
        area += (r - before) * max(precision[i:])
        before = r
    return np.mean(at), area


boxes = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(7, 14)] * 2)
image = st.tuples(
    st.lists(st.tuples(boxes, st.sampled_from([0.1, 0.4, 0.7, 0.9])), max_size=5),
    st.lists(boxes, max_size=3),
)


@given(st.lists(image, min_size=1, max_size=4), st.randoms())
def test_it_equals_the_kits_procedure(images, random):
    images = [(d, t, [random.random() < 0.3 for _ in t]) for d, t in images]
    metric = VOCDetection(1)
    for detections, truth, hard in images:
        found = np.array([box for box, _ in detections], float).reshape(-1, 4)
        scores = [score for _, score in detections]
        labels = np.zeros(len(detections), int)
        metric.update(found, scores, labels, np.array(truth, float), np.zeros(len(truth)), hard)
    result = metric.compute()
    if result.boxes[0] == 0:
        assert np.isnan(result.voc07)
        return
    expected07, expected10 = loop(images)
    assert result.voc07 == pytest.approx(expected07)
    assert result.voc10 == pytest.approx(expected10)


def test_both_rules_on_a_known_curve():
    recall, precision = np.array([0.2, 0.4, 0.4, 0.6]), np.array([1.0, 1.0, 2 / 3, 0.75])
    assert voc07(recall, precision) == pytest.approx((5 + 2 * 0.75) / 11)
    assert voc10(recall, precision) == pytest.approx(0.4 + 0.2 * 0.75)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.5]}, "as many scores"),
        ({"labels": [0, 3]}, "not among 0 to 2"),
        ({"scores": [0.5, np.nan]}, "finite"),
        ({"difficult": [True, False]}, "difficult"),
    ],
)
def test_wrong_input_is_refused(changes, message):
    values = {
        "boxes": np.array([A, B]),
        "scores": [0.5, 0.4],
        "labels": [0, 1],
        "truth": np.array([A]),
        "truth_labels": [0],
    }
    with pytest.raises(ValueError, match=message):
        VOCDetection(3).update(**values | changes)
