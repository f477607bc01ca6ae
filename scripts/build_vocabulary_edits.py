"""Write the decisions of ML-Images' authors that no rule gives, from their released dictionary.

    python scripts/build_vocabulary_edits.py imagenet_fall11_synset_counts.csv

The counts are those of ImageNet Fall 2011. In the released order every class of more than 776
images comes before a certain place: up to there stand the kept classes and the branching points,
behind it what was added. So a class up to there that the rules do not take was kept by hand, and
one that they take and that the dictionary does not hold was dropped by hand. Expanded are classes
of which at least two children, and half of the children with ImageNet images, were added behind.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path

from mlimages.storage import write_text
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.class_lists import EDITS_HEADER, Edits, read_imagenet_classes
from mlimages.taxonomy.selection import SelectionRules, select
from mlimages.taxonomy.wordnet import wordnet

DATA = Path(__file__).resolve().parent.parent / "src" / "mlimages" / "taxonomy" / "data"


def main() -> None:
    """Parse the argument, compare and write the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path, help="ImageNet synsets with numbers of images")
    listed = read_imagenet_classes(parser.parse_args().counts)
    rules, images = SelectionRules(), {entry.label: entry.images for entry in listed}
    keys = released_taxonomy().keys
    last = max(index for index, key in enumerate(keys) if images.get(key, 0) > rules.rare)
    first, held = frozenset(keys[: last + 1]), frozenset(keys)
    keep = first - select(listed, (), rules, Edits()).taken.keys()
    drop = select(listed, (), rules, Edits(keep=keep)).taken.keys() - held
    candidates = [wnid for wnid in images if wnid not in first and wnid not in drop]
    total = Counter(above for wnid in candidates for above in wordnet().hypernyms(wnid))
    added = [wnid for wnid in candidates if wnid in held]
    taken = Counter(above for wnid in added for above in wordnet().hypernyms(wnid))
    expand = {above for above, n in taken.items() if n >= 2 and 2 * n >= total[above]} & held
    lines = [EDITS_HEADER]
    for action, found in (("keep", keep), ("drop", drop), ("expand", expand)):
        lines += [f"{action}\t{wnid}\t\t{wordnet().name(wnid)}" for wnid in sorted(found)]
        logging.info("%s: %d", action, len(found))
    write_text(DATA / "vocabulary_edits.tsv", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
