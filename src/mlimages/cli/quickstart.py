"""`mlimages quickstart`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from mlimages.cli.output import Json, emit


def quickstart(
    *,
    out: Path = Path("quickstart"),
    photos: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    seed: int = 0,
    fresh: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Run the whole job once, small but real, and end with a page: OUT/report.html.

    Tags two real photos, then builds a database from several sources, completes its tags, trains
    and measures a network, and carries it to other classes. Interrupted, it continues.

    Example: mlimages quickstart

    Args:
        out: Folder for everything.
        photos: Real photos instead of drawn scenes: a folder of tiny-imagenet, coco128, voc2012
            and caltech101.
        seed: Of scenes, networks and choices.
        fresh: Begin anew, removing the run in OUT.
    """
    import logging

    from mlimages.quickstart.run import quickstart as run

    def say(line: str) -> None:
        print(line, file=sys.stderr if json else sys.stdout, flush=True)

    logger = logging.getLogger("mlimages.training")
    level = logger.level
    # A line a stage is enough here; warnings still show, and the progress bar on a terminal.
    logger.setLevel(logging.WARNING)
    try:
        result = run(out, photos, seed, fresh, say)
    finally:
        logger.setLevel(level)
    emit({"report": result.report, **result.results}, json, f"open {result.report}")
