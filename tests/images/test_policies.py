"""Modern augmentation policies against torchvision's, and random erasing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.images.pictures import smooth

from mlimages.errors import RecipeError
from mlimages.images.augmentation import AugmentationSettings, draw
from mlimages.images.policies import OPERATIONS, Operation, draw_operations, draw_rectangle, erase
from mlimages.images.random_numbers import sample_generator

pytest.importorskip("cv2")

# Our name and strength, and torchvision's function with its arguments.
TORCHVISION = {
    "brightness": (0.4, "adjust_brightness", (1.4,)),
    "colour": (-0.6, "adjust_saturation", (0.4,)),
    "contrast": (0.5, "adjust_contrast", (1.5,)),
    "sharpness": (0.9, "adjust_sharpness", (1.9,)),
    "posterize": (3.2, "posterize", (5,)),
    "solarize": (0.25, "solarize", (192,)),
    "autocontrast": (0.0, "autocontrast", ()),
    "rotate": (20.0, "rotate", (20.0,)),
    "translate_x": (0.125, "affine", (0.0, [8, 0], 1.0, [0.0, 0.0])),
    "translate_y": (-0.125, "affine", (0.0, [0, -8], 1.0, [0.0, 0.0])),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_an_operation_is_torchvision_s(name: str) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    strength, theirs, arguments = TORCHVISION[name]
    picture = smooth(64, 64, seed=4) // 2 + 40
    options = {"interpolation": functional.InterpolationMode.BILINEAR} if name == "rotate" else {}
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    expected = getattr(functional, theirs)(tensor, *arguments, **options).permute(1, 2, 0).numpy()
    before = picture.copy()
    found = Operation(name, strength).apply(picture)
    np.testing.assert_array_equal(picture, before)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    assert difference.mean() < 1
    assert np.quantile(difference, 0.98) <= 2  # an edge that a rotation cuts may differ more


def test_equalizing_spreads_each_channel_over_the_whole_range() -> None:
    found = Operation("equalize").apply(smooth(64, 64) // 4 + 90)
    assert found.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert found.max(axis=(0, 1)).tolist() == [255, 255, 255]


def test_shears_keep_the_middle_line() -> None:
    picture = smooth(65, 65)
    for name, line in (("shear_x", np.s_[32]), ("shear_y", np.s_[:, 32])):
        found = Operation(name, 0.5).apply(picture)
        np.testing.assert_array_equal(found[line], picture[line])
        assert (found != picture).any()


def test_trivial_draws_one_operation_of_any_kind_and_rand_several() -> None:
    generators = [sample_generator(0, 0, sample) for sample in range(2000)]
    trivial = [draw_operations("trivial", 2, 0.3, rng) for rng in generators]
    assert {len(operations) for operations in trivial} == {1}
    counts = dict.fromkeys(OPERATIONS, 0)
    for (operation,) in trivial:
        counts[operation.name] += 1
    assert min(counts.values()) > 2000 / len(OPERATIONS) / 2
    angles = [one.strength for (one,) in trivial if one.name == "rotate"]
    assert min(angles) < -90
    assert max(angles) > 90
    rand = [draw_operations("rand", 3, 0.5, rng) for rng in generators]
    assert {len(operations) for operations in rand} == {3}
    assert {abs(o.strength) for some in rand for o in some if o.name == "rotate"} == {15.0}


def test_a_policy_leaves_the_paper_s_draws_as_they_are() -> None:
    policy = AugmentationSettings(policy="rand", erase_fraction=0.5)
    for sample in range(20):
        usual = draw(AugmentationSettings(), sample_generator(1, 2, sample))
        more = draw(policy, sample_generator(1, 2, sample))
        assert len(more.operations) == 2
        assert replace(more, operations=(), erased=None) == usual


def test_erasing_covers_the_share_it_says_inside_the_image() -> None:
    assert draw_rectangle(0.0, sample_generator(0, 0, 0)) is None
    drawn = [draw_rectangle(0.25, sample_generator(0, 0, sample)) for sample in range(2000)]
    rectangles = [rectangle for rectangle in drawn if rectangle is not None]
    assert 0.2 < len(rectangles) / 2000 < 0.3
    white = np.full((224, 224, 3), 255, np.uint8)
    for rectangle in rectangles[:200]:
        left, top, width, height = rectangle
        assert 0.02 - 1e-9 <= width * height <= 0.33 + 1e-9
        assert min(left, top) >= 0
        assert max(left + width, top + height) <= 1
        picture = white.copy()
        erase(picture, rectangle)
        erased = (picture == 128).all(axis=2)
        assert abs(erased.mean() - width * height) < 0.01
        assert (picture[~erased] == 255).all()


@pytest.mark.parametrize(
    "change",
    [{"policy_operations": 17}, {"policy_magnitude": 1.5}, {"erase_fraction": -0.1}],
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=next(iter(change))):
        AugmentationSettings(**change)  # type: ignore[arg-type]
