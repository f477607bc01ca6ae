from __future__ import annotations

import struct
import tempfile
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.labels.exports.databases import Sample, build, held, samples
from tests.labels.tiny import DOG, KEYS, PARENTS, ROAD, TAXONOMY

from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.labels.hashing.hashes import LABEL_TABLES, DatabaseHash
from mlimages.labels.reading import ReadingBuilder
from mlimages.schemas import FACT_KINDS
from mlimages.taxonomy.categories import Taxonomy

SLOW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def by_table(found: DatabaseHash) -> dict[str, str]:
    return {entry.table: entry.hash for entry in found.tables}


@SLOW
@given(images=samples(), partition_rows=st.integers(1, 20))
def test_order_of_imports_rows_and_partitions_do_not_matter(
    images: list[Sample], partition_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = build(Path(folder, "one"), images)
        other = build(Path(folder, "other"), images, order=-1, partition_rows=partition_rows)
        assert one.hash() == other.hash()
        comparison = one.compare(other)
        assert comparison.same
        assert comparison.differences == []


@SLOW
@given(images=samples(), data=st.data())
def test_a_change_of_one_fact_is_found_and_its_image_named(
    images: list[Sample], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(images) - 1))
    source = data.draw(st.sampled_from(sorted(images[number].facts)))
    said = images[number].facts[source]
    assume(said)
    category, present, confidence, kind = said[0]
    other_kind = FACT_KINDS[(FACT_KINDS.index(kind) + 1) % len(FACT_KINDS)]
    changed = data.draw(
        st.sampled_from(
            [
                [(category, present, 0.75, kind), *said[1:]],
                [(category, present, confidence, other_kind), *said[1:]],
                said[1:],
            ]
        )
    )
    altered = list(images)
    facts = {**images[number].facts, source: changed}
    altered[number] = replace(images[number], facts=facts)
    with tempfile.TemporaryDirectory() as folder:
        one, other = build(Path(folder, "one"), images), build(Path(folder, "other"), altered)
        assert one.hash().hash != other.hash().hash
        comparison = one.compare(other)
        assert not comparison.same
        difference = next(d for d in comparison.differences if d.table == "facts")
        # An image of which nothing is said any more has no row of facts, but is there.
        assert difference.first == [(f"img{number}_o", "differs")]
        assert {d.table for d in comparison.differences} <= {"facts", "tags"}


@SLOW
@given(images=samples())
def test_the_hash_of_facts_equals_an_independent_one(images: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = build(Path(folder, "DB"), images)
        digests = []
        for name, image in held(db).items():
            records = sorted(
                (key.encode(), source.encode(), present, FACT_KINDS.index(kind), confidence)
                for key, source, kind, present, confidence in image["facts"]
            )
            body = b"".join(
                blake2b(key, digest_size=16).digest()
                + blake2b(source, digest_size=16).digest()
                + struct.pack("<BBf", present, kind, confidence)
                for key, source, present, kind, confidence in records
            )
            if records:
                text = f"{len(name)}:{name}".encode() + body
                digests.append(blake2b(text, digest_size=32, person=b"facts").digest())
        state = blake2b(f"facts 1 {len(digests)}\n".encode(), digest_size=32)
        state.update(b"".join(sorted(digests)))
        assert by_table(db.hash())["facts"] == state.hexdigest()


SAMPLE = Sample(split="train", facts={"first": [(DOG, True, 1.0, "asserted")]})


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        (replace(SAMPLE, split="test"), "splits"),
        (replace(SAMPLE, licence="x"), "images"),
        (replace(SAMPLE, author="x"), "images"),
        (replace(SAMPLE, size=(1, 2)), "images"),
        (replace(SAMPLE, url=False), "images"),
    ],
)
def test_what_is_said_of_an_image_is_in_its_table_alone(
    changed: Sample, table: str, tmp_path: Path
) -> None:
    one = build(tmp_path / "one", [SAMPLE, SAMPLE])
    other = build(tmp_path / "other", [SAMPLE, changed])
    comparison = one.compare(other)
    assert [d.table for d in comparison.differences] == [table]
    assert comparison.differences[0].first == [("img1_o", "differs")]


def test_images_of_one_side_are_named_as_such(tmp_path: Path) -> None:
    one = build(tmp_path / "one", [SAMPLE, SAMPLE, SAMPLE])
    other = build(tmp_path / "other", [SAMPLE])
    first = {d.table: d.first for d in one.compare(other).differences}
    expected = [("img1_o", "only here"), ("img2_o", "only here")]
    assert first == dict.fromkeys(["images", "splits", "facts", "tags"], expected)
    first = {d.table: d.first for d in other.compare(one).differences}
    assert first["images"] == [(name, "only there") for name, _ in expected]


def test_places_on_a_machine_do_not_matter_but_urls_do(tmp_path: Path) -> None:
    hashes = []
    for i, uri in enumerate(
        ["/home/a/photo.jpg", "tar://photo.jpg::/b.tar", "https://e.org/a.jpg"]
    ):
        builder = ReadingBuilder("first", "table")
        place = builder.add_image("list:1", uri, "photo")
        assert place is not None
        builder.add_fact(place, DOG)
        db = Database.create_from(tmp_path / str(i), TAXONOMY, builder.build())[0]
        hashes.append(by_table(db.hash())["images"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_facts_are_the_same_under_another_numbering_of_the_categories(tmp_path: Path) -> None:
    backwards = [KEYS[i] for i in range(len(KEYS))][::-1]
    parents = [-1 if p == -1 else len(KEYS) - 1 - p for p in PARENTS][::-1]
    names = [TAXONOMY.categories[i].names for i in range(len(KEYS))][::-1]
    found = []
    for i, taxonomy in enumerate([TAXONOMY, Taxonomy.from_keys(backwards, parents, names)]):
        builder = ReadingBuilder("first", "table")
        place = builder.add_image("list:1", None, "photo")
        assert place is not None
        for category in (DOG, ROAD):  # no tie, which the lowest number would settle
            builder.add_fact(place, taxonomy.index(KEYS[category]))
        db = Database.create_from(tmp_path / str(i), taxonomy, builder.build())[0]
        db.complete()
        found.append(by_table(db.hash()))
    differing = {name for name in LABEL_TABLES if found[0][name] != found[1][name]}
    assert differing == {"categories"}


def test_texts_cannot_run_into_each_other(tmp_path: Path) -> None:
    """A licence that looks like the encoding of licence and author is another one."""
    one = build(tmp_path / "one", [replace(SAMPLE, licence="a", author="b")])
    other = build(tmp_path / "other", [replace(SAMPLE, licence="aauthor=1:b")])
    assert by_table(one.hash())["images"] != by_table(other.hash())["images"]


def test_packed_bytes_have_a_hash_apart(tmp_path: Path) -> None:
    db = build(tmp_path / "DB", [SAMPLE])
    before = db.hash()
    index = {"row": [0], "shard": [0], "offset": [512], "length": [10], "crc32": [7]}
    with db.store.commit("test") as commit:
        table = pa.table({**index, "width": [1], "height": [1]})
        commit.append("shards/index", table)
    after = db.hash()
    assert before.hash == after.hash
    assert by_table(before)["bytes"] != by_table(after)["bytes"]


def test_a_fact_about_no_image_is_an_error(tmp_path: Path) -> None:
    db = build(tmp_path / "DB", [SAMPLE, SAMPLE])
    with db.store.commit("test") as commit:
        facts = commit.table("facts")
        rows = pa.array(np.array([0, 3], dtype=np.int32))
        commit.replace("facts", facts.set_column(0, "row", rows))
    with pytest.raises(DatabaseError, match="a row without an image"):
        db.hash()
