"""Small databases that hold some of everything, and what an export of them should give back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from hypothesis import strategies as st
from tests.labels.tiny import TAXONOMY

from mlimages.database import Database
from mlimages.labels.exports.exporting import ExportReport, export
from mlimages.labels.exports.view import ImageFile, TagChoice, View
from mlimages.labels.reading import ReadingBuilder
from mlimages.schemas import FACT_KINDS

SPLITS = ("train", "validation", "test", "odd / split é")
LICENCES = (
    None,
    "https://creativecommons.org/licenses/by/2.0/",
    "https://creativecommons.org/publicdomain/zero/1.0/",
)
Fact = tuple[int, bool, float, str]


@dataclass(frozen=True)
class Sample:
    """An image to be put into a database."""

    url: bool = True
    split: str = "train"
    licence: str | None = None
    author: str | None = None
    size: tuple[int, int] | None = None
    facts: dict[str, list[Fact]] = field(default_factory=dict)  # by source


def facts() -> st.SearchStrategy[list[Fact]]:
    fact = st.tuples(
        st.integers(0, len(TAXONOMY) - 1),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([1.0, 0.9, 0.8, 0.1, 1e-7, 0.333333]),
        st.sampled_from(FACT_KINDS),
    )
    return st.lists(fact, max_size=5, unique_by=lambda f: f[:2])


def samples() -> st.SearchStrategy[list[Sample]]:
    """Up to 12 images of one or two sources."""
    sample = st.builds(
        Sample,
        url=st.booleans(),
        split=st.sampled_from(SPLITS),
        licence=st.sampled_from(LICENCES),
        author=st.sampled_from([None, 'Ann "A", B\nC', "Zoë|x"]),
        size=st.sampled_from([None, (640, 480)]),
        facts=st.dictionaries(st.sampled_from(["first", "second"]), facts(), min_size=1),
    )
    return st.lists(sample, min_size=1, max_size=12)


def name_of(number: int) -> str:
    return f"img{number}_o"


def build(
    root: Path | str, images: list[Sample], order: int = 1, partition_rows: int = 5
) -> Database:
    """A completed database; `order` -1 takes images and sources in the other order."""
    db = Database.create(root, TAXONOMY, partition_rows=partition_rows)
    for source in ("first", "second")[::order]:
        builder = ReadingBuilder(source, "table")
        for number, image in list(enumerate(images))[::order]:
            if source not in image.facts:
                continue
            url = f"https://example.org/photos/{name_of(number)}.jpg" if image.url else None
            place = builder.add_image(
                f"list:{number}",
                url,
                name_of(number),
                split=image.split,
                licence=image.licence,
                author=image.author,
                size=image.size,
            )
            assert place is not None
            for category, present, confidence, kind in image.facts[source]:
                builder.add_fact(place, category, confidence, present=present, kind=kind)
        reading = builder.build()
        if reading.images.num_rows:
            db.add(reading)
    db.complete()
    return db


def write(
    db: Database,
    format: str,
    out: Path,
    *,
    split: str | None = None,
    tags: TagChoice = "all",
    read_image: Callable[[int], ImageFile | None] | None = None,
    **options: Any,
) -> ExportReport:
    """Export without packing: the bytes of images are made up by `read_image`."""
    hierarchy = TAXONOMY.hierarchy("tencent")
    view = View(db.store, TAXONOMY, hierarchy, split=split, tags=tags, read_image=read_image)
    return export(view, format, out, options)


def picture(row: int) -> ImageFile:
    """Bytes that are no picture, but tell images apart; the writers do not look inside."""
    return ImageFile(b"\xff\xd8\xff" + bytes([row % 256]) * (50 + row), "jpg", 3 + row, 4)


def key_of(fact: dict[str, Any]) -> str:
    return TAXONOMY.keys[fact["category"]]


def held(db: Database, tags: TagChoice = "all") -> dict[str, dict[str, Any]]:
    """What a database says of each image, by its id, read from its tables in plain Python."""
    images = {r["row"]: r for r in db.store.table("images").to_pylist()}
    splits = {r["row"]: r["split"] for r in db.store.table("splits").to_pylist()}
    found = {}
    for record in db.store.table("tags").to_pylist():
        image = images[record["row"]]
        lists = zip(
            record["categories"],
            record["confidences"],
            record["reasons"],
            record["because"],
            strict=True,
        )
        kept = [tag for tag in lists if tags == "all" or tag[2] == 0]
        said = db.store.table("facts")
        said = said.filter(pc.equal(said["row"], record["row"])).to_pylist()
        present = {}
        for fact in said:
            if fact["present"]:
                key = key_of(fact)
                present[key] = max(present.get(key, 0), fact["confidence"])
        found[image["id"]] = {
            "row": record["row"],
            "split": splits[record["row"]],
            # A tag is as certain as anything below it; what is asserted, as its own facts.
            "tags": {
                TAXONOMY.keys[c]: confidence if tags == "all" else present[TAXONOMY.keys[c]]
                for c, confidence, _, _ in kept
            },
            "categories": {TAXONOMY.keys[c] for c, _, _, _ in kept},
            "reasons": {TAXONOMY.keys[c]: reason for c, _, reason, _ in kept},
            "because": {TAXONOMY.keys[c]: TAXONOMY.keys[b] for c, _, _, b in kept},
            "absent": {key_of(f) for f in said if not f["present"]},
            "verified": {
                key_of(f) for f in said if f["present"] and f["kind"] in ("verified", "correction")
            },
            "facts": sorted(
                (
                    key_of(f),
                    f["source"],
                    f["kind"],
                    f["present"],
                    f["confidence"],
                )
                for f in said
            ),
            "url": next(iter(image["uris"]), None),
            "sources": sorted(image["sources"]),
            **{name: image[name] for name in ("licence", "author", "width", "height")},
        }
    return found
