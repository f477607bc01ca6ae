"""Fit the weights of what a sense is (its usage, capitals, kind of thing) on ImageNet's names.

    python scripts/fit_mapping_weights.py imagenet_fall11_synset_counts.csv

Maximum likelihood of the right synset among the candidates of each name with several, on the half
of the synsets whose wnid has an even CRC-32; all other weights stay as they are. Prints the weights
that `mlimages.taxonomy.proposals.scoring.WEIGHTS` holds.
"""

from __future__ import annotations

import argparse
import csv
import logging
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.proposing import propose
from mlimages.taxonomy.proposals.scoring import KINDS, WEIGHTS

FREE = ("case", "individual", *KINDS)
RIDGE = 1e-3  # per name; keeps a weight finite where one kind never is right

Choice = tuple[NDArray[np.float64], NDArray[np.float64], int]


def choices(path: Path) -> list[Choice]:
    """(free evidence [candidates, free], fixed score [candidates], the right one) per name."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = [ForeignClass(str(i), (row["class_name"],)) for i, row in enumerate(rows)]
    found = []
    for row, proposal in zip(rows, propose(classes), strict=True):
        wnids = [one.wnid for one in proposal.candidates]
        odd = zlib.crc32(row["synid"].encode()) % 2
        if odd or len(wnids) < 2 or row["synid"] not in wnids:
            continue
        evidence = [one.evidence for one in proposal.candidates]
        free = np.array([[values.get(name, 0.0) for name in FREE] for values in evidence])
        fixed = [sum(WEIGHTS[n] * v for n, v in e.items() if n not in FREE) for e in evidence]
        found.append((free, np.array(fixed), wnids.index(row["synid"])))
    return found


def fit(data: list[Choice]) -> NDArray[np.float64]:
    """Newton's method on the (concave) log-likelihood of a conditional logit model."""
    weights = np.zeros(len(FREE))
    for _ in range(50):
        gradient = -RIDGE * len(data) * weights
        hessian = RIDGE * len(data) * np.eye(len(FREE))
        for free, fixed, right in data:
            scores = free @ weights + fixed
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            mean = shares @ free
            gradient += free[right] - mean
            hessian += (free * shares[:, None]).T @ free - np.outer(mean, mean)
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def main() -> None:
    """Parse the arguments, fit and print."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path, help="synid,class_name,... of ImageNet Fall 2011")
    data = choices(parser.parse_args().counts)
    logging.info("%d names with several candidates", len(data))
    for name, weight in zip(FREE, fit(data), strict=True):
        logging.info('    "%s": %.1f,', name, weight)


if __name__ == "__main__":
    main()
