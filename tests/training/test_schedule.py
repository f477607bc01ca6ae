"""The learning rate against the paper's numbers."""

from __future__ import annotations

import math

import pytest

from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.settings import ScheduleSettings

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


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate(ScheduleSettings(warmup_epochs=0), 0.5, 0) == 0.5


def test_steps_of_a_run():
    assert total_steps(ScheduleSettings(epochs=60), 17_609_752, 4096) == 257_955
    assert total_steps(ScheduleSettings(epochs=2), 100, 50) == 4
    assert total_steps(ScheduleSettings(epochs=0.1), 10, 64) == 1
