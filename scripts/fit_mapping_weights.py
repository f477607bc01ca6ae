"""Fit weights of the class mapper on ImageNet's names.

    python scripts/fit_mapping_weights.py imagenet_fall11_synset_counts.csv

Maximum likelihood of the right synset on the half of the synsets whose wnid has an even CRC-32, all
other weights as they are. Two fits:

- senses: which of the senses of a name with several is right, by capitals and kind of thing;
- heads: whether the last words of a name of several words are a noun above its synset, and in which
  sense, as if WordNet did not have the whole name (leave one out), or none of them.

Prints the weights for `mlimages.taxonomy.proposals.scoring.WEIGHTS`. `head` is larger there, by
hand: the names that WordNet holds are set phrases (a sea horse is no horse), those it lacks seldom.
Needs scipy.
"""

from __future__ import annotations

import argparse
import csv
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mlimages.taxonomy.proposals.context import add_compounds, line_of
from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.lexicon import lexicon, parse_name
from mlimages.taxonomy.proposals.proposing import propose
from mlimages.taxonomy.proposals.scoring import KINDS, WEIGHTS, Candidate, candidate
from mlimages.taxonomy.wordnet import wordnet

SENSES = ("case", "individual", *KINDS)
HEADS = ("head", "compounds")
RIDGE = 5e-4  # keeps a weight finite where one kind never is right


@dataclass(frozen=True)
class Choice:
    """The options of one name.

    Attributes:
        free: evidence whose weight is fitted [options, free].
        fixed: the score of all other evidence [options].
        right: indices of the right options.
    """

    free: NDArray[np.float64]
    fixed: NDArray[np.float64]
    right: list[int]


def choice(candidates: Sequence[Candidate], names: Sequence[str], right: list[int]) -> Choice:
    """The options of one name, from their evidence."""
    evidence = [one.evidence for one in candidates]
    free = [[values.get(name, 0.0) for name in names] for values in evidence]
    fixed = [sum(WEIGHTS[n] * v for n, v in e.items() if n not in names) for e in evidence]
    return Choice(np.array(free), np.array(fixed), right)


def sense_choices(rows: Sequence[tuple[str, str]]) -> list[Choice]:
    """One choice per name with several candidates."""
    classes = [ForeignClass(str(i), (name,)) for i, (_, name) in enumerate(rows)]
    found = []
    for (wnid, _), proposal in zip(rows, propose(classes), strict=True):
        wnids = [one.wnid for one in proposal.candidates]
        if len(wnids) > 1 and wnid in wnids:
            found.append(choice(proposal.candidates, SENSES, [wnids.index(wnid)]))
    return found


def head_choices(rows: Sequence[tuple[str, str]]) -> list[Choice]:
    """One choice per name with a head; its last option is that none is right."""
    found = []
    for wnid, name in rows:
        options: dict[str, Candidate] = {}
        for match in lexicon().head(parse_name(name).text):
            senses = wordnet().senses(match.word)
            new = [candidate("head", s, senses, "") for s in senses if s.wnid != wnid]
            add_compounds(new, match.word, itself=wnid)
            options.update({one.wnid: one for one in new})
        if options:
            right = [i for i, above in enumerate(options) if above in line_of(wnid)]
            taken = choice(list(options.values()), HEADS, right or [len(options)])
            none = np.zeros((1, len(HEADS)))
            found.append(
                Choice(np.vstack([taken.free, none]), np.append(taken.fixed, 0.0), taken.right)
            )
    return found


def fit(data: Sequence[Choice]) -> NDArray[np.float64]:
    """The weights of the greatest likelihood in a multinomial logit model, by L-BFGS."""

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, gradient = RIDGE * weights @ weights, 2 * RIDGE * weights
        for one in data:
            scores = one.free @ weights + one.fixed
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            right = shares[one.right]
            total -= np.log(right.sum()) / len(data)
            expected = right @ one.free[one.right] / right.sum()
            gradient -= (expected - shares @ one.free) / len(data)
        return float(total), gradient

    return minimize(loss, np.zeros(data[0].free.shape[1]), jac=True, method="L-BFGS-B").x


def main() -> None:
    """Parse the arguments, fit and print."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path, help="synid,class_name,... of ImageNet Fall 2011")
    with open(parser.parse_args().counts, encoding="utf-8", newline="") as file:
        rows = [(row["synid"], row["class_name"]) for row in csv.DictReader(file)]
    even = [(wnid, name) for wnid, name in rows if zlib.crc32(wnid.encode()) % 2 == 0]
    for title, names, data in (
        ("senses", SENSES, sense_choices(even)),
        ("heads", HEADS, head_choices(even)),
    ):
        logging.info("%s, of %d names", title, len(data))
        for name, weight in zip(names, fit(data), strict=True):
            logging.info('    "%s": %.1f,', name, weight)


if __name__ == "__main__":
    main()
