"""The random numbers of samples against NumPy's own generator of the same name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from mlimages.images.random_numbers import sample_generator, sample_generators

WORDS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1])


@settings(deadline=None)  # the first call loads the compiled loop
@given(WORDS, WORDS, WORDS, st.lists(st.integers(0, 40) | st.tuples(st.just(2), st.just(3))))
def test_they_are_those_of_numpy_however_they_are_asked_for(
    seed: int, epoch: int, sample: int, sizes: list[int | tuple[int, int]]
) -> None:
    key, counter = (
        np.array(words, dtype=np.uint64) for words in ([seed, epoch], [0, 0, sample, 0])
    )
    expected = np.random.Generator(np.random.Philox(key=key, counter=counter))
    found = sample_generator(seed, epoch, sample)
    for size in sizes:
        np.testing.assert_array_equal(found.random(size), expected.random(size))


def test_a_batch_s_are_those_of_its_samples() -> None:
    epochs, samples = [0, 3, 3, 2**40], [5, 5, 17_600_000, 0]
    together = sample_generators(9, epochs, samples)
    for numbers, epoch, sample in zip(together, epochs, samples, strict=True):
        alone = sample_generator(9, epoch, sample)
        np.testing.assert_array_equal(numbers.random(50), alone.random(50))
    assert sample_generators(9, [], []) == []
