from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.images.pictures import encode, smooth

from mlimages.errors import RecipeError
from mlimages.images.augmentation import (
    AugmentationParameters,
    AugmentationSettings,
    crop_box,
    draw,
)
from mlimages.images.decoding import decode
from mlimages.images.random_numbers import sample_generator
from mlimages.images.views import evaluation_image, train_image, train_view

cv2 = pytest.importorskip("cv2")

PAPER = AugmentationSettings()
WHOLE = AugmentationParameters(area=(1.0, 1.0), aspect=(0.1, 10.0), crop=(0.5, 0.5, 0.5, 0.5))


def tensorflow_crop(
    width: int, height: int, settings: AugmentationSettings, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """`sample_distorted_bounding_box` as documented: draw, and draw again if it does not fit."""
    least, most = (share * width * height for share in settings.area)
    for _ in range(100):
        aspect = rng.uniform(*settings.aspect)
        lowest = round(math.sqrt(least / aspect))
        highest = round(math.sqrt(most / aspect))
        if round(highest * aspect) > width:
            highest = int((width + 0.5 - 1e-7) / aspect)
        highest = min(highest, height)
        lowest = min(lowest, highest)
        crop_height = int(rng.integers(lowest, highest + 1))
        crop_width = round(crop_height * aspect)
        if least <= crop_width * crop_height <= most and crop_width <= width:
            left = int(rng.integers(0, width - crop_width + 1))
            return left, int(rng.integers(0, height - crop_height + 1)), crop_width, crop_height
    return 0, 0, width, height


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 500), (640, 360)])
@pytest.mark.parametrize("area", [(0.7, 1.0), (0.05, 1.0)])
def test_crops_are_distributed_as_tensorflow_s(
    size: tuple[int, int], area: tuple[float, float]
) -> None:
    settings = replace(PAPER, area=area)
    rng = np.random.default_rng(0)
    expected = np.array([tensorflow_crop(*size, settings, rng) for _ in range(6000)], float)
    found = np.array([crop_box(*size, draw(settings, rng)) for _ in range(6000)], float)
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    for column in range(4):
        np.testing.assert_allclose(
            np.quantile(found[:, column], quantiles),
            np.quantile(expected[:, column], quantiles),
            atol=0.02 * max(size),
        )


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4),
    st.sampled_from([(0.7, 1.0), (0.05, 1.0), (1.0, 1.0), (0.3, 0.3)]),
)
def test_crops_lie_inside_and_keep_the_permitted_area(
    width: int, height: int, crop: tuple[float, float, float, float], area: tuple[float, float]
) -> None:
    parameters = AugmentationParameters(area=area, aspect=PAPER.aspect, crop=crop)
    left, top, crop_width, crop_height = crop_box(width, height, parameters)
    assert left >= 0
    assert top >= 0
    assert 1 <= crop_width <= width - left
    assert 1 <= crop_height <= height - top
    slack = (crop_width + crop_height + 1) / (width * height)  # rounding to whole pixels
    share = crop_width * crop_height / (width * height)
    assert share >= area[0] - slack
    if (crop_width, crop_height) != (width, height):
        assert share <= area[1] + slack


def test_an_elongated_image_is_taken_whole() -> None:
    rng = np.random.default_rng(0)
    boxes = {crop_box(1000, 400, draw(PAPER, rng)) for _ in range(50)}
    assert boxes == {(0, 0, 1000, 400)}


def test_flip_rotation_and_colour_have_the_documented_shares_and_are_independent() -> None:
    count = 20_000
    draws = [draw(PAPER, sample_generator(5, 1, sample)) for sample in range(count)]
    events = np.array([(d.flip, d.angle != 0, d.colour is not None) for d in draws])
    shares = np.array([1 / 2, 1 / 4, 1 / 2])
    deviation = np.sqrt(shares * (1 - shares) / count)
    assert (np.abs(events.mean(axis=0) - shares) < 4 * deviation).all()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        together = shares[one] * shares[other]
        found = (events[:, one] & events[:, other]).mean()
        assert abs(found - together) < 4 * math.sqrt(together * (1 - together) / count)
    assert abs(events.all(axis=1).mean() - 1 / 16) < 4 * math.sqrt(15) / 16 / math.sqrt(count)


def test_drawn_values_fill_their_ranges_evenly() -> None:
    draws = [draw(PAPER, sample_generator(6, 0, sample)) for sample in range(8000)]
    colours = [d.colour for d in draws if d.colour is not None]
    for values, lowest, highest in (
        ([d.angle for d in draws if d.angle], -45, 45),
        ([c.brightness for c in colours], -32 / 255, 32 / 255),
        ([c.saturation for c in colours], 0.5, 1.5),
        ([c.hue for c in colours], -0.2, 0.2),
        ([c.contrast for c in colours], 0.5, 1.5),
        ([c.contrast_first for c in colours], 0, 1),
    ):
        shares = (np.array(values, float) - lowest) / (highest - lowest)
        assert shares.min() >= 0
        assert shares.max() <= 1
        assert abs(shares.mean() - 0.5) < 0.03


def test_a_sample_s_draw_is_the_same_in_any_order_and_process() -> None:
    code = (
        "from mlimages.images.augmentation import AugmentationSettings, draw\n"
        "from mlimages.images.random_numbers import sample_generator\n"
        "print([draw(AugmentationSettings(), sample_generator(3, 9, i)) for i in (7, 2, 5)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = {i: draw(PAPER, sample_generator(3, 9, i)) for i in (2, 5, 7)}
    assert done.stdout.strip() == str([here[7], here[2], here[5]])


def test_seed_epoch_and_sample_each_change_the_draw() -> None:
    keys = [(s, e, i) for s in (0, 1, 2**63 - 1) for e in (0, 1, 59) for i in (0, 1, 17_600_000)]
    assert len({tuple(sample_generator(*key).random(4)) for key in keys}) == len(keys)


def test_the_stream_of_random_numbers_never_changes() -> None:
    # A checkpoint is resumed with these numbers: another value here breaks exact resume.
    assert sample_generator(1, 2, 3).random(2).tolist() == [0.7189388877276962, 0.41126597421331446]


def test_changing_one_share_leaves_the_other_draws_alone() -> None:
    for sample in range(50):
        usual = draw(PAPER, sample_generator(0, 0, sample))
        unrotated = draw(replace(PAPER, rotation_fraction=0.0), sample_generator(0, 0, sample))
        assert replace(usual, angle=0.0) == unrotated


def test_nothing_drawn_leaves_the_image_as_it_is() -> None:
    picture = smooth(64, 64)
    np.testing.assert_array_equal(train_image(picture, 64, WHOLE), picture)


def test_a_flip_mirrors_left_to_right() -> None:
    picture = smooth(64, 64)
    found = train_image(picture, 64, replace(WHOLE, flip=True))
    np.testing.assert_array_equal(found, picture[:, ::-1])


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_a_rotation_turns_anticlockwise_after_the_flip(turns: int, flip: bool) -> None:
    picture = smooth(64, 64)
    found = train_image(picture, 64, replace(WHOLE, angle=90.0 * turns, flip=flip))
    expected = np.rot90(picture[:, ::-1] if flip else picture, turns)
    inside = slice(1, -1)  # at the very edge, rounding of the angle lets in some black
    assert np.abs(found[inside, inside].astype(int) - expected[inside, inside]).max() <= 1


def test_a_rotation_is_pillow_s_with_black_corners() -> None:
    picture = smooth(96, 96)
    found = train_image(picture, 96, replace(WHOLE, angle=30.0))
    expected = np.array(Image.fromarray(picture).rotate(30.0, Image.Resampling.BILINEAR))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[-1, -1].tolist() == [0, 0, 0]
    assert np.abs(found.astype(int) - expected).mean() < 1.5


def test_what_lies_outside_the_crop_is_never_shown() -> None:
    picture = np.full((80, 80, 3), 255, np.uint8)
    parameters = replace(WHOLE, area=(0.36, 0.36), aspect=(1.0, 1.0), crop=(0, 0, 0.5, 0.5))
    left, top, width, height = crop_box(80, 80, parameters)
    picture[top : top + height, left : left + width] = (40, 80, 120)
    for angle in (0.0, 20.0):
        found = train_image(picture, 32, replace(parameters, angle=angle))
        assert (found <= (40, 80, 120)).all()
        assert found[16, 16].tolist() == [40, 80, 120]


@pytest.mark.parametrize("shape", [(40, 56), (64, 48), (100, 90)])
def test_a_crop_is_resized_bilinearly(shape: tuple[int, int]) -> None:
    picture = smooth(*shape[::-1])
    found = train_image(picture, 64, WHOLE)
    expected = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_a_crop_of_a_larger_image_is_that_part_of_it() -> None:
    picture = smooth(200, 160)
    parameters = replace(WHOLE, area=(0.7, 0.7), crop=(0.4, 0.2, 0.9, 0.3))
    left, top, width, height = crop_box(200, 160, parameters)
    found = train_image(picture, 96, parameters)
    part = Image.fromarray(picture[top : top + height, left : left + width])
    expected = np.array(part.resize((96, 96), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_shrinking_averages_fine_patterns_away(angle: float) -> None:
    stripes = np.zeros((600, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    found = train_image(stripes, 64, replace(WHOLE, angle=angle))
    # Blocks of 9 hold 5 bright columns or 4: 127 plus or minus 14. Skipping would show 0 or 255.
    assert np.abs(found[28:36, 28:36].astype(int) - 127).max() <= 16


@pytest.mark.parametrize("aspect", [1.5, 2 / 3])
def test_a_large_photo_is_decoded_smaller_but_never_below_the_crop(aspect: float) -> None:
    width, height = round(900 * aspect**0.5), round(900 / aspect**0.5)
    data = encode(smooth(width, height), quality=95)
    for sample in range(12):
        parameters = replace(draw(PAPER, sample_generator(0, 0, sample)), colour=None)
        sides = []

        def watched(data: bytes, **options: Any) -> np.ndarray:
            sides.append(decode(data, **options).shape[:2])  # noqa: B023 - used at once
            return decode(data, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlimages.images.views.decode", watched)
            found = train_view(data, 64, parameters)
        ((down, across),) = sides
        assert (across, down) != (width, height)
        assert min(crop_box(across, down, parameters)[2:]) >= 63
        whole = train_image(decode(data), 64, parameters)
        assert np.abs(found.astype(int) - whole).mean() < 4


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (64, 64), (7000, 3)])
def test_any_image_size_gives_the_asked_size(size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 77, np.uint8)
    for sample in range(8):
        parameters = replace(draw(PAPER, sample_generator(0, 0, sample)), angle=0.0, colour=None)
        found = train_image(picture, 32, parameters)
        assert (found.shape, found.dtype) == ((32, 32, 3), np.uint8)
        assert (found == 77).all()
        assert (evaluation_image(picture, 32) == 77).all()


def test_the_evaluation_image_is_the_centre_of_the_resized_photo() -> None:
    picture = smooth(500, 375)
    found = evaluation_image(picture, 224)
    resized = Image.fromarray(picture).resize((341, 256), Image.Resampling.BOX)
    expected = np.array(resized.crop((58, 16, 58 + 224, 16 + 224)))
    assert found.shape == (224, 224, 3)
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - expected).mean() < 1


def test_small_photos_are_kept_whole_by_a_crop_fraction_of_one() -> None:
    picture = smooth(64, 64)
    np.testing.assert_array_equal(evaluation_image(picture, 64, crop_fraction=1.0), picture)


def test_a_long_strip_is_seen_in_its_middle() -> None:
    strip = np.zeros((4, 30_000, 3), np.uint8)
    strip[:, 14_990:15_010] = 200
    found = evaluation_image(strip, 224)
    assert found.shape == (224, 224, 3)
    assert (found == 200).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("area", (0.9, 0.5)),
        ("area", (0.0, 1.0)),
        ("aspect", (0.5, 100.0)),
        ("flip_fraction", 1.5),
        ("rotation_fraction", -0.1),
        ("rotation_degrees", 400.0),
        ("colour_fraction", 2.0),
        ("brightness", -1.0),
        ("saturation", (1.0,)),
        ("hue", 0.7),
        ("contrast", (2.0, 1.0)),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(RecipeError, match=rf"augmentation\.{name}.*out of range"):
        AugmentationSettings(**{name: value})  # type: ignore[arg-type]


def test_a_view_is_written_where_it_is_wanted_and_nowhere_else() -> None:
    data = encode(smooth(120, 90))
    settings = replace(PAPER, policy="rand", erase_fraction=0.5)
    for sample in range(24):
        parameters = draw(settings, sample_generator(0, 0, sample))
        batch = np.full((3, 64, 64, 3), 7, np.uint8)
        train_view(data, 64, parameters, batch[1])
        np.testing.assert_array_equal(batch[1], train_view(data, 64, parameters))
        assert (batch[[0, 2]] == 7).all()
