"""Which categories are sensitive: persons, outside a reviewed list of roles.

The rule and the reasons are in docs/taxonomy.md; the list is data/person_roles.tsv.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlimages.taxonomy.packaged import packaged, read_rows
from mlimages.taxonomy.wordnet import PERSON, wordnet

ROLES_HEADER = "wnid\tname\twhy"


@functools.cache
def person_roles() -> dict[str, str]:
    """The reviewed person categories that are not sensitive: wnid -> why."""
    rows = read_rows(packaged("person_roles.tsv"), ROLES_HEADER, "the packaged list of roles")
    return {wnid: why for _, (wnid, _, why) in rows}


@functools.cache
def sensitive_wnids() -> frozenset[str]:
    """Every WordNet person (n00007846 and all below) outside the reviewed roles."""
    return (wordnet().descendants(PERSON) | {PERSON}) - person_roles().keys()


def mark_sensitive(keys: Sequence[str], parents: NDArray[np.int32]) -> list[bool]:
    """Whether each category of a vocabulary is sensitive.

    A wnid is judged by WordNet. A custom key was never reviewed, so it is sensitive whenever the
    parents given lead it to a person.

    Args:
        keys: the categories' keys.
        parents: index of each one's parent, -1 for a root; without a cycle.
    """
    nouns, sensitive = wordnet(), sensitive_wnids()
    persons = sensitive | person_roles().keys()
    marks = []
    for index, key in enumerate(keys):
        if key in nouns:
            marks.append(key in sensitive)
            continue
        while index >= 0 and keys[index] not in nouns:
            index = int(parents[index])
        marks.append(index >= 0 and keys[index] in persons)
    return marks
