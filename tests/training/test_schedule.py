"""The learning rate against the paper's numbers."""

from __future__ import annotations

import math

import pytest

from mlimages.training.recipe import find_recipe
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.settings import OptimizerSettings, ScheduleSettings

PAPER = ScheduleSettings()


@pytest.mark.parametrize("epoch", range(8))
def test_paper_warms_up_in_eight_stairs(epoch):
    for part in (0.0, 0.5, 0.999):
        assert learning_rate(PAPER, 0.08, epoch + part) == pytest.approx(0.01 * 1.297**epoch)


@pytest.mark.parametrize(
    ("epoch", "rate"), [(8, 0.08), (24.999, 0.08), (25, 0.008), (50, 0.0008), (59.9, 0.0008)]
)
def test_paper_decays_at_25_and_50(epoch, rate):
    assert learning_rate(PAPER, 0.08, epoch) == pytest.approx(rate)


def test_cosine_falls_to_nothing_after_a_warm_up():
    cosine = ScheduleSettings(name="cosine", epochs=10, warmup_epochs=1)
    assert learning_rate(cosine, 1.0, 0) == 0.125
    assert learning_rate(cosine, 1.0, 5) == pytest.approx(0.5)
    assert learning_rate(cosine, 1.0, 10) == pytest.approx(0)
    assert learning_rate(cosine, 1.0, 2.5) == pytest.approx(0.5 + math.cos(math.pi / 4) / 2)


def test_a_linear_warm_up_is_a_straight_line_to_the_peak():
    """Goyal et al., 2017: from 0.1 to k times that in 5 epochs, k times 256 images a batch."""
    goyal = ScheduleSettings(
        epochs=90, warmup="linear", warmup_epochs=5, warmup_start=1 / 32, decay_epochs=(30, 60, 80)
    )
    peak = OptimizerSettings(learning_rate=0.1, reference_batch=256).rate_for(8192)
    assert peak == pytest.approx(3.2)
    for epoch in (0, 0.25, 1, 2.5, 4.75):
        expected = 0.1 + (3.2 - 0.1) * epoch / 5
        assert learning_rate(goyal, peak, epoch) == pytest.approx(expected)
    for epoch, rate in ((5, 3.2), (29.9, 3.2), (30, 0.32), (60, 0.032), (80, 0.0032)):
        assert learning_rate(goyal, peak, epoch) == pytest.approx(rate)


@pytest.mark.parametrize("name", ["paper", "released"])
def test_the_papers_rates_are_scaled_to_another_batch(name):
    recipe = find_recipe(name).override("data.batch_size=256")
    peak = recipe.optimizer.rate_for(recipe.data.batch_size)
    assert peak == pytest.approx(0.08 / 16)
    assert learning_rate(recipe.schedule, peak, 0) == pytest.approx(0.01 / 16)
    assert learning_rate(recipe.schedule, peak, 3) == pytest.approx(0.01 * 1.297**3 / 16)
    assert learning_rate(recipe.schedule, peak, 30) == pytest.approx(0.008 / 16)
    assert total_steps(recipe.schedule, 17_609_752, 256) == pytest.approx(
        16 * total_steps(find_recipe(name).schedule, 17_609_752, 4096), abs=16
    )


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate(ScheduleSettings(warmup_epochs=0), 0.5, 0) == 0.5


def test_steps_of_a_run():
    assert total_steps(ScheduleSettings(epochs=60), 17_609_752, 4096) == 257_955
    assert total_steps(ScheduleSettings(epochs=2), 100, 50) == 4
    assert total_steps(ScheduleSettings(epochs=0.1), 10, 64) == 1
