"""What the paper's claims come to on small real photos: four questions, three seeds each.

    python -m scripts.evidence DATA --out runs/evidence --minutes 300
    python -m scripts.evidence DATA --out runs/evidence --minutes 0 --write docs/evidence.md

DATA holds the folders that `mlimages quickstart --photos` takes. Every row (an arm with a seed) is
done once; after Ctrl-C, a kill or --minutes, the same command goes on where it stopped. At the end
the tables are printed, or written into a page; rows that were not run yet are marked.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from scripts.evidence.arms import IMAGES_PER_CLASS, QUESTIONS, SEEDS, SPLITS, arms_of
from scripts.evidence.tables import render, write_into

from mlimages import __version__
from mlimages.errors import InputError, InterruptedTrainingError, MlimagesError
from mlimages.quickstart.plans import PHOTO_FOLDERS
from mlimages.quickstart.stages import StageLog


def main(arguments: list[str] | None = None) -> int:
    """Run what is left, then show the tables."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    code = 0
    try:
        if options.minutes > 0:
            code = _run(options)
        if options.write is None:
            print(render(options.out))
        else:
            write_into(options.write, render(options.out))
    except MlimagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.evidence", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--minutes", type=float, default=300, help="stop after so many; 0: at once")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--arms", nargs="+", default=[], help="of these, only the arms so named")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="only the first so many")
    parser.add_argument("--set", nargs="+", default=[], help="section.key=value of every recipe")
    parser.add_argument("--probe-images", type=int, default=IMAGES_PER_CLASS, help="of a class")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    return parser


def _run(options: argparse.Namespace) -> int:
    """Do the rows, seed by seed, so that what is done early compares all arms."""
    for name in PHOTO_FOLDERS:
        if not (options.data / name).is_dir():
            needed = ", ".join(PHOTO_FOLDERS)
            raise InputError(options.data / name, "no such folder", f"DATA needs: {needed}")
    from scripts.evidence.rows import Rows

    settings = {"settings": options.set, "probe": options.probe_images, "version": __version__}
    log = StageLog(options.out, settings, options.fresh, lambda line: print(line, flush=True))
    probe = (options.probe_images, SPLITS)
    rows = Rows(options.data.absolute(), options.out, log, tuple(options.set), probe)
    before = signal.signal(signal.SIGTERM, _stop)  # training replaces it by saving first
    timer = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        for seed in range(options.seeds):
            for arm in arms_of("".join(options.only)):
                if not options.arms or arm.name in options.arms:
                    rows.run(arm, seed)
    except (InterruptedTrainingError, KeyboardInterrupt) as error:
        cause = getattr(error, "cause", "stopped by SIGINT")
        print(f"{options.out}: {cause}; run the same command again to go on", file=sys.stderr)
        return InterruptedTrainingError.exit_code
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    return 0


def _stop(number: int, frame: object) -> NoReturn:
    raise InterruptedTrainingError("evidence", "stopped by SIGTERM", "run it again")


if __name__ == "__main__":
    raise SystemExit(main())
