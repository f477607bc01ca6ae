"""Whether kernels can be compiled, and how: numba is optional, and everything works without it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any


def available() -> bool:
    """Whether numba is installed (extra `build`)."""
    return importlib.util.find_spec("numba") is not None


def kernel(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function on arrays so that threads run it side by side.

    The machine code is kept for the next process, beside the package or in the user's own cache
    folder, whichever can be written to (numba's NUMBA_CACHE_DIR overrides both).
    Options are those of `numba.njit`, such as fastmath.
    """
    import numba

    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to: it is compiled again each time
        return numba.njit(nogil=True, **options)(function)
