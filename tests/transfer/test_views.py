"""Views of photos: ten crops, keyed squares, mirrored boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.images.pictures import smooth
from torchvision.transforms.functional import ten_crop

from mlimages.images.views import evaluation_image
from mlimages.metrics.segmentation import VOID
from mlimages.transfer.views import PLACES, crop, mirrored_boxes, segmentation_view, ten_crops


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (64, 64)])
def test_ten_crops_are_torchvisions_ten_crops(width: int, height: int) -> None:
    image = smooth(width, height)
    ours = ten_crops(image, 32, 32 / min(width, height))  # not resized
    theirs = ten_crop(torch.from_numpy(image).permute(2, 0, 1), 32)
    expected = {part.permute(1, 2, 0).numpy().tobytes() for part in theirs}
    assert {part.tobytes() for part in ours} == expected
    np.testing.assert_array_equal(ours[5:], ours[:5, :, ::-1])


def test_the_centre_is_what_one_crop_sees() -> None:
    image = smooth(120, 80)
    centre = evaluation_image(image, 56, 0.875)
    np.testing.assert_array_equal(ten_crops(image, 56, 0.875)[0], centre)


def test_places_are_where_they_say() -> None:
    image = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8, 1).repeat(3, 2)
    corners = {place: crop(image, 2, place)[0, 0, 0] for place in PLACES}
    assert corners == {
        "centre": 2 * 8 + 3,
        "top left": 0,
        "top right": 6,
        "bottom left": 32,
        "bottom right": 38,
    }


@given(seed=st.integers(0, 2**32), photo=st.integers(0, 2**32), size=st.sampled_from([16, 40, 90]))
def test_a_square_and_its_classes_stay_together(seed: int, photo: int, size: int) -> None:
    mask = np.random.default_rng(photo).integers(0, 3, (6, 7)).astype(np.uint8).repeat(8, 0)
    mask = mask.repeat(8, 1)
    image = (mask[..., None] * np.array([40, 80, 120])).astype(np.uint8)
    view, classes = segmentation_view(image, mask, size, (1.0, 1.0), (seed, 3, photo))
    assert view.shape == (size, size, 3)
    assert classes.shape == (size, size)
    known = classes != VOID
    np.testing.assert_array_equal(view[known][:, 0], classes[known] * 40)
    assert (view[~known] == 128).all()
    again = segmentation_view(image, mask, size, (1.0, 1.0), (seed, 3, photo))
    np.testing.assert_array_equal(view, again[0])


def test_mirroring_twice_is_nothing() -> None:
    boxes = np.array([[1, 1, 10, 20], [5, 2, 64, 48]], np.float32)
    once = mirrored_boxes(boxes, 64)
    assert once.tolist() == [[55, 1, 64, 20], [1, 2, 60, 48]]
    np.testing.assert_array_equal(mirrored_boxes(once, 64), boxes)
