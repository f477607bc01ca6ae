"""How values of a database are written for others: confidences, places and names."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.schemas import IMAGES
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import HEADER

LABEL_MAP = "label-map.tsv"
_USUAL = ("row", "id", "sources", "uris", "licence", "author", "width", "height")
EXTRA_COLUMNS = tuple(name for name in IMAGES.names if name not in _USUAL)
"""Columns of schemas.IMAGES beyond the usual: details of the original that some sources give."""


@functools.lru_cache(maxsize=1 << 16)
def confidence_text(confidence: float) -> str:
    """The shortest decimal that reads back as the same float32: `1`, `0.9`."""
    return str(np.float32(confidence)).removesuffix(".0")


@functools.lru_cache(maxsize=1 << 16)
def short(confidence: float) -> float:
    """The float whose shortest decimal reads back as the same float32, for JSON."""
    return float(str(np.float32(confidence)))


_LOCAL = ("tar://", "file://")


def public_uris(uris: list[str]) -> list[str]:
    """Those places that others can reach too: paths of this machine are not published."""
    return [uri for uri in uris if "://" in uri and not uri.startswith(_LOCAL)]


def is_public(uris: pa.Array) -> NDArray[np.bool_]:
    """Whether each place is one that `public_uris` keeps."""
    found = pc.match_substring(uris, "://")
    for scheme in _LOCAL:
        found = pc.and_not(found, pc.starts_with(uris, scheme))
    return found.to_numpy(zero_copy_only=False)


def write_label_map(path: Path, labels: Sequence[str], taxonomy: Taxonomy) -> None:
    """Write what an export calls each category as a label map (`mlimages import --map`).

    A label that the map cannot hold, with a TAB or a line break, is left out.
    """
    lines = [HEADER] + [
        f"{label}\t{key}\texact\t"
        for label, key in zip(labels, taxonomy.keys, strict=True)
        if not re.search(r"[\t\r\n]", label)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def unique_names(taxonomy: Taxonomy) -> list[str]:
    """A name for each category that no other has: its first, with its key where it is shared."""
    firsts = [category.names[0] for category in taxonomy.categories]
    seen: dict[str, int] = {}
    for name in firsts:
        seen[name] = seen.get(name, 0) + 1
    return [
        name if seen[name] == 1 else f"{name} ({category.key})"
        for name, category in zip(firsts, taxonomy.categories, strict=True)
    ]
