"""`mlimages data prepare`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit


def prepare(
    name: Annotated[
        Positional[str],
        tyro.conf.arg(
            metavar="NAME", help="voc2007, voc2012, caltech101, caltech256, imagenet or coco2017."
        ),
    ],
    *,
    out: Path,
    source: Path | None = None,
    json: Json = False,
) -> None:
    """Get a benchmark's data: download it, or take what is there, and check that it is whole.

    A download that stopped goes on. Checksums and numbers of files are verified.

    Example: mlimages data prepare voc2007 --out voc

    Args:
        out: Folder for the archives and the data.
        source: Folder that holds the archives, or the unpacked data.
    """
    from mlimages.transfer.datasets import preparing

    found = preparing.prepare(name, out, source)
    counts = ", ".join(f"{number:,} files in {place}" for place, number in found.counts.items())
    emit(found, json, f"{name}: {counts}\n--data {found.data}\nrecipes: {found.recipes}")
