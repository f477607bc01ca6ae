"""An exhaustive source that annotated a copy says by its silence what is not in the picture."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from tests.images.test_duplicates import facts_of, stored

from mlimages.images.duplicates import merge_duplicates
from mlimages.schemas import CATEGORIES, DUPLICATES, HIERARCHY, SOURCES
from mlimages.store import Store

ANIMAL, DOG, CAT, BOAT, PUPPY = range(5)


def database(root: Path, images: list[dict], facts: list[tuple]) -> Store:
    """Animal above dog and cat, puppy below dog; `all` is exhaustive for animal, dog, cat, boat."""
    store = stored(root, {}, images, facts)
    edges = [(DOG, ANIMAL), (CAT, ANIMAL), (PUPPY, DOG)]
    sources = [
        {"source": "all", "exhaustive": [ANIMAL, DOG, CAT, BOAT]},
        {"source": "some", "exhaustive": []},
    ]
    with store.commit("test") as commit:
        categories = [{"category": c, "names": [str(c)]} for c in range(5)]
        commit.append("categories", pa.Table.from_pylist(categories, schema=CATEGORIES))
        hierarchy = [{"child": c, "parent": p, "hierarchy": "tencent"} for c, p in edges]
        commit.append("hierarchy", pa.Table.from_pylist(hierarchy, schema=HIERARCHY))
        commit.append("sources", pa.Table.from_pylist(sources, schema=SOURCES))
    return store


def merged(store: Store, pairs: dict[int, int]) -> list[tuple]:
    """Facts that merging adds."""
    table = [{"row": row, "kept": kept, "evidence": "bytes"} for row, kept in pairs.items()]
    with store.commit("test") as commit:
        added = merge_duplicates(commit, pa.Table.from_pylist(table, schema=DUPLICATES))
    found = [fact for fact in facts_of(store.root) if fact[5] == "duplicate"]
    assert len(found) == added
    return [(row, category, source, present) for row, category, source, present, _, _ in found]


def test_what_a_copy_s_exhaustive_source_does_not_name_is_absent(tmp_path: Path) -> None:
    images = [{"sources": ["some"]}, {"sources": ["some"]}, {"sources": ["all"]}]
    facts = [(0, PUPPY, "some", True, 1.0, "asserted")]
    store = database(tmp_path / "DB", images, facts)
    before = facts_of(store.root)
    # Dog and animal lie above the puppy: the source's silence about them is no evidence.
    assert merged(store, {2: 0}) == [(0, CAT, "all", False), (0, BOAT, "all", False)]
    assert merged(store, {}) == []
    assert facts_of(store.root) == before


def test_what_a_copy_is_said_to_show_is_not_absent(tmp_path: Path) -> None:
    images = [{"sources": ["some"]}, {}, {"sources": ["all"]}, {"sources": ["some"]}]
    facts = [(2, BOAT, "all", True, 1.0, "asserted"), (3, CAT, "some", True, 1.0, "asserted")]
    store = database(tmp_path / "DB", images, facts)
    assert merged(store, {2: 0, 3: 0}) == [
        (0, DOG, "all", False),
        (0, CAT, "some", True),
        (0, BOAT, "all", True),
    ]


def test_the_kept_image_s_own_silence_is_not_written_down(tmp_path: Path) -> None:
    images = [{"sources": ["some", "all"]}, {"sources": ["all"]}]
    assert merged(database(tmp_path / "DB", images, []), {1: 0}) == []
