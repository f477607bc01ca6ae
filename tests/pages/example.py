"""A packed database of painted photos over a small vocabulary, one name of which is hostile."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.database import Database
from mlimages.labels.predicted_rows import record_rows
from mlimages.schemas import PREDICTIONS
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.dictionary import write_dictionary

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'name'"
SENSITIVE = "n10012484"  # dead person: a person outside the reviewed roles
KEYS = (
    "n00002684",  # object
    "n00015388",  # animal
    "n02084071",  # dog
    "n02121620",  # cat
    "n04524313",  # vehicle
    "n02858304",  # boat
    "n02958343",  # car
    "n13104059",  # tree
    "n09426788",  # sea
    "n04096066",  # road
    "own:a/../b",
    SENSITIVE,
)
PARENTS = (-1, 0, 1, 1, 0, 4, 4, 0, -1, 0, 4, 0)
NAMES = (
    "object",
    "animal",
    "dog, domestic dog",
    "cat",
    "vehicle",
    "boat",
    "car",
    "tree",
    "sea",
    "road",
    HOSTILE,
    "dead person",
)


def make_database(root: Path) -> Path:
    """Import, complete and pack; returns the database's folder."""
    taxonomy = Taxonomy.from_keys(KEYS, PARENTS, [tuple(name.split(", ")) for name in NAMES])
    write_dictionary(taxonomy, root / "small.tsv")
    data = make_tiny_data(root / "tiny", images_a_class=12)
    lines = data.table.read_text().splitlines()
    lines[1] += f" {KEYS[10]}"
    lines[13] += f" {SENSITIVE}"  # a cat
    # Twelve dogs with a tree, and one of them with the sea too.
    lines[5] += " n09426788"
    data.table.write_text("\n".join(lines) + "\n")
    db = root / "DB"
    for line in (
        f"import imagenet {data.imagenet} {db} --dictionary {root / 'small.tsv'}",
        f"import table {data.table} {db} --split validation",
        f"complete {db}",
        f"pack {db}",
    ):
        assert run(line.split()) == 0
    return db


def make_predictions(db: Path, path: Path) -> Path:
    """What a network might say: its tags, but that image 0 shows a cat and image 20 a boat too."""
    store = Database.open(db).store
    found = {
        (fact["row"], fact["category"]): 0.9 - 0.002 * (fact["row"] % 30)
        for fact in store.table("facts").to_pylist()
    }
    rows = store.num_rows("images")
    found = {key: p for key, p in found.items() if key[0] != 0} | {(0, 3): 0.95, (20, 5): 0.95}
    columns = (
        [row for row, _ in found],
        [category for _, category in found],
        list(found.values()),
    )
    arrays = [pa.array(c, f.type) for c, f in zip(columns, PREDICTIONS, strict=True)]
    table = record_rows(pa.table(arrays, schema=PREDICTIONS), range(rows))
    pq.write_table(table.sort_by("row"), path)
    return path
