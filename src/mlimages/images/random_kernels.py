"""The compiled loop of the random numbers; see random_numbers.py. Only loaded where numba is."""

from __future__ import annotations

import numpy as np

from mlimages.labels.compiled import kernel

_ROUNDS = 10
# The constants of Philox4x64: two multipliers, and what is added to the two words of the key.
_FIRST, _SECOND = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_GOLDEN, _ROOT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_HALF, _LOW, _UNUSED = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(11)
_UNIT = 2.0**-53


@kernel
def high_product(a, b):  # type: ignore[no-untyped-def]
    """The upper 64 of the 128 bits of a product."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a_high * b_low + (a_low * b_low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF)


@kernel
def philox(seed, epochs, samples, found):  # type: ignore[no-untyped-def]
    """Uniform numbers in [0, 1), of the upper 53 bits of each word.

    Args:
        seed: uint64.
        epochs: uint64 [n].
        samples: uint64 [n].
        found: float64 [n, 4 * k], overwritten.
    """
    for n in range(len(samples)):
        for block in range(found.shape[1] // 4):
            a, b, c, d = np.uint64(block + 1), np.uint64(0), samples[n], np.uint64(0)
            key, other = seed, epochs[n]
            for _ in range(_ROUNDS):
                a, b, c, d = (
                    high_product(_SECOND, c) ^ b ^ key,
                    _SECOND * c,
                    high_product(_FIRST, a) ^ d ^ other,
                    _FIRST * a,
                )
                key, other = key + _GOLDEN, other + _ROOT
            found[n, 4 * block] = (a >> _UNUSED) * _UNIT
            found[n, 4 * block + 1] = (b >> _UNUSED) * _UNIT
            found[n, 4 * block + 2] = (c >> _UNUSED) * _UNIT
            found[n, 4 * block + 3] = (d >> _UNUSED) * _UNIT
