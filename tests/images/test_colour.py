from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest
from tests.images.pictures import smooth

from mlimages.images.colour import ColourParameters, distort_colour, distort_in_place

pytest.importorskip("cv2")


def reference(array: np.ndarray, parameters: ColourParameters) -> np.ndarray:
    """TensorFlow's definitions, a pixel at a time on [0, 1], unclipped until the end."""

    def saturation(pixel: np.ndarray) -> list[float]:
        hue, strength, value = to_hsv(pixel)
        return list(colorsys.hsv_to_rgb(hue, min(1, strength * parameters.saturation), value))

    def hue(pixel: np.ndarray) -> list[float]:
        turn, strength, value = to_hsv(pixel)
        return list(colorsys.hsv_to_rgb((turn + parameters.hue) % 1, strength, value))

    def to_hsv(pixel: np.ndarray) -> tuple[float, float, float]:
        turn, strength, value = colorsys.rgb_to_hsv(*pixel) if max(pixel) else (0.0, 0.0, 0.0)
        return turn, strength if value > 0 else 0.0, value

    def contrast(image: np.ndarray) -> np.ndarray:
        mean = image.mean(axis=(0, 1))
        return (image - mean) * parameters.contrast + mean

    image = array / 255 + parameters.brightness
    if parameters.contrast_first:
        image = contrast(image)
    for operation in (saturation, hue):
        image = np.apply_along_axis(operation, 2, image)
    if not parameters.contrast_first:
        image = contrast(image)
    return np.clip(image, 0, 1) * 255


@pytest.mark.parametrize("contrast_first", [False, True])
@pytest.mark.parametrize(
    ("brightness", "saturation", "hue", "contrast"),
    list(itertools.product((-32 / 255, 32 / 255), (0.5, 1.5), (-0.2, 0.2), (0.5, 1.5))),
)
def test_colours_are_tensorflow_s_within_rounding(
    brightness: float, saturation: float, hue: float, contrast: float, contrast_first: bool
) -> None:
    picture = smooth(24, 16, seed=3)
    picture[:4, :4] = 0  # black and near black: brightness makes them negative
    picture[4:6, :4] = (3, 9, 20)
    picture[6:8, :4] = 255
    parameters = ColourParameters(brightness, saturation, hue, contrast, contrast_first)
    found = distort_colour(picture, parameters)
    assert found.dtype == np.uint8
    assert np.abs(found - reference(picture, parameters)).max() <= 0.6


def test_neutral_parameters_change_nothing() -> None:
    picture = smooth(40, 30)
    for first in (False, True):
        found = distort_colour(picture, ColourParameters(0, 1, 0, 1, first))
        assert np.abs(found.astype(int) - picture).max() <= 1


def test_the_two_orderings_differ_and_leave_the_input_alone() -> None:
    picture = smooth(40, 30)
    before = picture.copy()
    one, other = (
        distort_colour(picture, ColourParameters(0.1, 1.5, 0.1, 1.5, first))
        for first in (False, True)
    )
    assert (one != other).any()
    np.testing.assert_array_equal(picture, before)


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    picture = np.repeat(smooth(20, 20)[..., :1], 3, axis=2)
    found = distort_colour(picture, ColourParameters(0, 1.5, 0.2, 1, False))
    np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize("contrast_first", [False, True])
def test_colours_change_in_place_and_only_in_contiguous_pixels(contrast_first: bool) -> None:
    picture = smooth(40, 30)
    parameters = ColourParameters(0.1, 1.5, 0.1, 1.5, contrast_first)
    expected = distort_colour(picture, parameters)
    with pytest.raises(AttributeError):
        distort_in_place(picture[:, ::2], parameters)
    distort_in_place(picture, parameters)
    np.testing.assert_array_equal(picture, expected)
