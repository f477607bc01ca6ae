"""Write the table of the released categories that the package ships, from the released dictionary.

    python scripts/build_categories.py DICTIONARY

DICTIONARY is `data/dictionary_and_semantic_hierarchy.txt` of the repository
Tencent/tencent-ml-images. Taken from it are three facts a category: its wnid, its parent, its place
in the order. Its names are not: they are WordNet's lemmas, which is checked here, for every line.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mlimages.errors import InputError
from mlimages.storage import write_text
from mlimages.taxonomy.categories import PACKAGED_HEADER
from mlimages.taxonomy.dictionary import read_dictionary
from mlimages.taxonomy.wordnet import wordnet

DATA = Path(__file__).resolve().parent.parent / "src" / "mlimages" / "taxonomy" / "data"


def main() -> None:
    """Parse the argument, check the names and write the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dictionary", type=Path, help="the released dictionary file")
    taxonomy = read_dictionary(parser.parse_args().dictionary)
    lines = [PACKAGED_HEADER]
    for category, parent in zip(taxonomy.categories, taxonomy.parents.tolist(), strict=True):
        if category.name != wordnet().name(category.key):
            raise InputError(category.key, "is named otherwise in WordNet", "check the dictionary")
        lines.append(f"{category.key}\t{parent}")
    write_text(DATA / "categories.tsv", "\n".join(lines) + "\n")
    logging.info("categories.tsv: %d categories, all names are WordNet's lemmas", len(taxonomy))


if __name__ == "__main__":
    main()
