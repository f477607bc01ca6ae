"""Write the nouns of WordNet 3.0 as the table that the package ships.

    python scripts/build_wordnet_table.py /usr/share/wordnet

The folder is that of Debian's `wordnet-base` 3.0 (`data.noun`, `index.noun`, `cntlist.rev`,
`noun.exc`; formats in the manual pages wndb(5WN), cntlist(5WN) and senseidx(5WN)). WordNet
3.1 will not do: its offsets, and so its ids, differ. The same input and the same pyarrow give the
same bytes.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import InputError
from mlimages.storage import atomic_file, write_text
from mlimages.taxonomy.wordnet import SCHEMA

DATA = Path(__file__).resolve().parent.parent / "src" / "mlimages" / "taxonomy" / "data"
EXPECTED_SYNSETS = 82_115


class Synset(NamedTuple):
    """One line of data.noun."""

    offset: int
    lemmas: list[str]
    sense_keys: list[str]  # of each lemma, as cntlist.rev writes them
    hypernyms: list[int]
    instance_hypernyms: list[int]
    gloss: str


def read_lines(path: Path) -> tuple[list[str], list[str]]:
    """The licence (lines that start with two spaces) and the entries of a WordNet file."""
    if not path.is_file():
        raise InputError(path, "no such file", "name the folder of WordNet 3.0's files")
    lines = path.read_text(encoding="utf-8").splitlines()
    licence = [line for line in lines if line.startswith("  ")]
    return licence, lines[len(licence) :]


def parse_synset(line: str) -> Synset:
    """Parse `offset file type count (lemma id)... count (pointer)... | gloss`."""
    data, gloss = line.split(" | ", 1)
    fields = data.split()
    num_lemmas = int(fields[3], 16)
    words = fields[4 : 4 + 2 * num_lemmas : 2]
    lemmas = [word.replace("_", " ") for word in words]
    ids = fields[5 : 5 + 2 * num_lemmas : 2]
    sense_keys = [
        f"{word.lower()}%1:{fields[1]}:{int(number, 16):02d}::"
        for word, number in zip(words, ids, strict=True)
    ]
    start = 4 + 2 * num_lemmas
    hypernyms: dict[str, list[int]] = {"@": [], "@i": []}
    for pointer in range(int(fields[start])):
        symbol, target = fields[start + 1 + 4 * pointer : start + 3 + 4 * pointer]
        if symbol in hypernyms:
            hypernyms[symbol].append(int(target))
    gloss = gloss.strip()
    return Synset(int(fields[0]), lemmas, sense_keys, hypernyms["@"], hypernyms["@i"], gloss)


def read_senses(lines: list[str]) -> dict[tuple[str, int], int]:
    """(lemma in lower case, offset) -> sense number, 0 first, from index.noun's order."""
    senses = {}
    for line in lines:
        fields = line.split()
        for sense, offset in enumerate(fields[-int(fields[2]) :]):
            senses[fields[0].replace("_", " "), int(offset)] = sense
    return senses


def read_tag_counts(lines: list[str]) -> dict[str, int]:
    """Sense key -> how often the sense was tagged in the concordance texts, from cntlist.rev.

    265 of the 17,081 keys of nouns are of senses that data.noun has under another key, mostly in
    another lexicographer file; their counts are lost.
    """
    return {key: int(count) for key, _, count in map(str.split, lines)}


def read_exceptions(folder: Path) -> str:
    """Irregular plurals as lines `plural<TAB>singular`, from noun.exc."""
    pairs = []
    for line in read_lines(folder / "noun.exc")[1]:
        plural, *singulars = line.split()
        pairs += [(plural.replace("_", " "), word.replace("_", " ")) for word in singulars]
    return "plural\tsingular\n" + "".join(f"{a}\t{b}\n" for a, b in pairs)


def build_table(folder: Path) -> pa.Table:
    """All noun synsets, ordered by offset, in the schema that `mlimages.taxonomy.wordnet` reads."""
    synsets = sorted(map(parse_synset, read_lines(folder / "data.noun")[1]))
    if len(synsets) != EXPECTED_SYNSETS:
        raise InputError(
            folder, f"{len(synsets)} noun synsets, not {EXPECTED_SYNSETS}", "use WordNet 3.0"
        )
    senses = read_senses(read_lines(folder / "index.noun")[1])
    counts = read_tag_counts(read_lines(folder / "cntlist.rev")[1])
    columns = {
        "offset": [synset.offset for synset in synsets],
        "lemmas": [synset.lemmas for synset in synsets],
        "senses": [
            [senses[lemma.lower(), synset.offset] for lemma in synset.lemmas] for synset in synsets
        ],
        "tag_counts": [[counts.get(key, 0) for key in synset.sense_keys] for synset in synsets],
        "hypernyms": [synset.hypernyms for synset in synsets],
        "instance_hypernyms": [synset.instance_hypernyms for synset in synsets],
        "gloss": [synset.gloss for synset in synsets],
    }
    return pa.table(columns, schema=SCHEMA)


def licence_text(folder: Path) -> str:
    """The licence that heads data.noun, without its line numbers."""
    lines = read_lines(folder / "data.noun")[0]
    return "".join(line.strip().partition(" ")[2].rstrip() + "\n" for line in lines)


def main() -> None:
    """Parse the arguments and write the table, the irregular plurals and the licence."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of data.noun and its companions")
    folder: Path = parser.parse_args().folder
    table = build_table(folder)
    path = DATA / "wordnet_nouns.parquet"
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19)
    write_text(DATA / "noun_exceptions.tsv", read_exceptions(folder))
    write_text(DATA / "LICENSE-WordNet.txt", licence_text(folder))
    logging.info("%s: %d synsets, %d bytes", path.name, table.num_rows, path.stat().st_size)


if __name__ == "__main__":
    main()
