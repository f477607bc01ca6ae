"""The judged sample of Open Images proposals is well formed, and its figures follow from it."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from tests.conftest import REPOSITORY

from mlimages.taxonomy.wordnet import wordnet

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from mapping_data import read_verdicts
from mapping_openimages import agreement, judge, wilson


def test_both_samples_have_200_classes_with_two_verdicts_each() -> None:
    judged = read_verdicts()
    assert Counter(one.sample for one in judged) == {1: 200, 2: 200}
    assert len({one.key for one in judged}) == 400
    verdicts = {one.verdict_a for one in judged} | {one.verdict_b for one in judged}
    assert verdicts == {"right", "wrong", "no synset exists", "unsure"}
    for one in judged:
        assert one.wnid == "-" or one.wnid in wordnet()
        assert one.wnid != "-" or "right" not in (one.verdict_a, one.verdict_b)


def test_agreement_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    judged = read_verdicts()
    raw, kappa = agreement(judged)
    a, b = [one.verdict_a for one in judged], [one.verdict_b for one in judged]
    assert raw == pytest.approx(metrics.accuracy_score(a, b))
    assert kappa == pytest.approx(metrics.cohen_kappa_score(a, b))


def test_the_figures_of_the_documentation_are_those_of_the_list() -> None:
    text = (REPOSITORY / "docs" / "mapping.md").read_text(encoding="utf-8")
    judged = [one for one in read_verdicts() if one.sample == 2]
    figures = judge(judged)
    for part in ("mapped", "mapped, exact", "mapped, broader"):
        for judge_name in ("a", "b"):
            percent = f"{100 * figures[f'precision {judge_name}, {part}']:.1f}"
            assert percent in text, (part, percent)
    assert f"{figures['agreement, kappa']:.2f}" in text


def test_the_interval_equals_a_published_example() -> None:
    """81 of 263, by Newcombe (1998), table I: 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
