"""Small databases' tables, drawn by hypothesis or by hand, and the tags derived from them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from tests.labels.reference import World

from mlimages.labels.derivation.rules import Tags, absent_categories, derive_tags
from mlimages.schemas import COOCCURRENCE, FACT_KINDS, FACTS, SOURCES, TAG_REASONS
from mlimages.taxonomy.hierarchy import Hierarchy

SOURCE_NAMES = ("first", "second", "third")


@st.composite
def worlds(draw: st.DrawFn, most_rows: int = 4) -> World:
    """A random DAG of up to 9 categories, facts of three sources, exhaustive sets and pairs."""
    size = draw(st.integers(1, 9))
    rows = draw(st.integers(1, most_rows))
    order = draw(st.permutations(range(size)))  # indices need not be in topological order
    links = draw(st.sets(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))))
    category = st.integers(0, size - 1)
    confidence = st.sampled_from([0.25, 0.5, float(np.float32(0.9)), 1.0])
    sources: list[set[str]] = [
        set(draw(st.sets(st.sampled_from(SOURCE_NAMES), min_size=1))) for _ in range(rows)
    ]
    fact = st.integers(0, rows - 1).flatmap(
        lambda row: st.tuples(
            st.just(row),
            category,
            st.sampled_from(sorted(sources[row])),
            st.sampled_from([True, True, True, False]),
            confidence,
            st.sampled_from(FACT_KINDS),
        )
    )
    return World(
        num_categories=size,
        edges={(order[max(link)], order[min(link)]) for link in links if link[0] != link[1]},
        facts=draw(st.lists(fact, max_size=14)),
        image_sources=sources,
        exhaustive=draw(st.dictionaries(st.sampled_from(SOURCE_NAMES), st.sets(category))),
        pairs=draw(st.sets(st.tuples(category, category), max_size=6)),
    )


def hierarchy_of(world: World) -> Hierarchy:
    child, parent = zip(*world.edges, strict=True) if world.edges else ((), ())
    return Hierarchy.from_edges(world.num_categories, child, parent)


def facts_table(facts: list) -> pa.Table:
    columns = zip(*facts, strict=True) if facts else [[]] * len(FACTS)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, FACTS, strict=True)]
    return pa.table(arrays, schema=FACTS)


def images_table(world: World) -> pa.Table:
    rows = [sorted(sources) for sources in world.image_sources]
    return pa.table({"sources": pa.array(rows, pa.list_(pa.string()))})


def sources_table(world: World, single: tuple[str, ...] = ()) -> pa.Table:
    rows = [
        {
            "source": name,
            "format": "table",
            "single_label": name in single,
            "exhaustive": sorted(world.exhaustive.get(name, ())),
        }
        for name in SOURCE_NAMES
    ]
    return pa.Table.from_pylist(rows, schema=SOURCES)


def pairs_table(world: World) -> pa.Table:
    rows = [
        {"cause": i, "effect": j, "images": 1, "predicted": 1, "ratio": 1.0}
        for i, j in sorted(world.pairs)
    ]
    return pa.Table.from_pylist(rows, schema=COOCCURRENCE)


def derived(world: World, causes: str = "asserted") -> Tags:
    """Tags by the package."""
    facts = facts_table(world.facts)
    return derive_tags(
        facts,
        len(world.image_sources),
        hierarchy_of(world),
        pairs_table(world),
        absent_categories(facts, images_table(world), sources_table(world)),
        causes=causes,  # type: ignore[arg-type]
    )


def tags_of(tags: Tags, row: int) -> dict[int, tuple]:
    """category -> (confidence, reason, because)."""
    part = slice(tags.indptr[row], tags.indptr[row + 1])
    reasons = [TAG_REASONS[reason] for reason in tags.reasons[part]]
    columns = (tags.confidences[part].tolist(), reasons, tags.because[part].tolist())
    return dict(zip(tags.categories[part].tolist(), zip(*columns, strict=True), strict=True))
