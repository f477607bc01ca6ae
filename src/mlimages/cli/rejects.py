"""How commands report the photos that could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlimages.images.photos import PhotoReject

NAMED = 20


def reject_lines(rejects: Sequence[PhotoReject], files: int) -> str:
    """Count the rejects among all files, and name the first of them."""
    lines = [f"{len(rejects):,} of {files:,} files could not be read as photos"]
    lines += [f"  {reject.path}: {reject.reason}" for reject in rejects[:NAMED]]
    if len(rejects) > NAMED:
        lines.append(f"  ... and {len(rejects) - NAMED:,} more (--json names all)")
    return "\n".join(lines)
