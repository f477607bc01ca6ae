"""Whether tags hold all their ancestors, against a count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, OBJECT, PARENTS, ROAD, TAXONOMY, VEHICLE

from mlimages.database import Database
from mlimages.labels.intake.closure import ClosureReport, closure_report
from mlimages.labels.sources import tencent
from mlimages.labels.streams import joined
from mlimages.taxonomy.categories import released_taxonomy

HIERARCHY = TAXONOMY.hierarchy("tencent")


def table(*tags: tuple[int, int, float]) -> pa.Table:
    images, categories, confidences = zip(*tags, strict=True) if tags else ((), (), ())
    return pa.table(
        {
            "row": pa.array(images, pa.int32()),
            "category": pa.array(categories, pa.int32()),
            "present": pa.array([True] * len(tags), pa.bool_()),
            "confidence": pa.array(confidences, pa.float32()),
        }
    )


def count_by_hand(tags: dict[int, dict[int, float]]) -> ClosureReport:
    counts = dict.fromkeys(ClosureReport.__dataclass_fields__, 0)
    for found in tags.values():
        ones = sum(value == 1 for value in found.values())
        kind = "certain" if ones == len(found) else "mixed" if ones else "fractional"
        counts[kind] += 1
        with_parent = [category for category in found if PARENTS[category] >= 0]
        lacking = [category for category in with_parent if PARENTS[category] not in found]
        counts[f"{kind}_closed"] += not lacking
        counts["tags"] += len(with_parent)
        counts["missing_parent"] += len(lacking)
        counts["weaker_parent"] += sum(
            found[PARENTS[c]] < found[c] for c in with_parent if c not in lacking
        )
    return ClosureReport(**counts)


def test_images_are_told_apart_by_their_confidences() -> None:
    facts = table(
        (0, DOG, 1), (0, ANIMAL, 1), (0, OBJECT, 1),
        (1, DOG, 0.9), (1, ANIMAL, 0.8),
        (2, CAR, 1), (2, VEHICLE, 0.5), (2, OBJECT, 0.5),
        (3, ROAD, 0.5),
    )  # fmt: skip
    assert closure_report(facts, HIERARCHY) == ClosureReport(
        certain=1, certain_closed=1, mixed=1, mixed_closed=1, fractional=2, fractional_closed=0,
        tags=7, missing_parent=2, weaker_parent=2,
    )  # fmt: skip


IMAGES = st.dictionaries(
    st.integers(0, 20),
    st.dictionaries(
        st.sampled_from([OBJECT, ANIMAL, DOG, CAT, VEHICLE, CAR, ROAD]),
        st.sampled_from([1.0, 0.5, 0.25]),
        min_size=1,
    ),
    max_size=6,
)


@given(IMAGES, st.randoms())
def test_any_tags_in_any_order_are_counted_as_by_hand(tags: dict, random) -> None:
    rows = [(i, c, v) for i, found in tags.items() for c, v in found.items()]
    random.shuffle(rows)
    assert closure_report(table(*rows), HIERARCHY) == count_by_hand(tags)


@given(IMAGES)
def test_counts_of_parts_add_up(tags: dict) -> None:
    parts = [table(*((i, c, v) for c, v in found.items())) for i, found in tags.items()]
    total = sum((closure_report(part, HIERARCHY) for part in parts), ClosureReport())
    assert total == count_by_hand(tags)


def test_the_released_list_and_its_completion(shared_data: Path, tmp_path: Path) -> None:
    taxonomy = released_taxonomy()
    hierarchy = taxonomy.hierarchy("tencent")
    lists = shared_data / "tencent"
    found = joined(tencent.read(lists / "train_urls_tiny.txt", taxonomy))
    assert closure_report(found.facts, hierarchy) == ClosureReport(
        certain=21, certain_closed=21, mixed=30, mixed_closed=13, fractional=49,
        fractional_closed=1, tags=746, missing_parent=99, weaker_parent=11,
    )  # fmt: skip
    database = Database.create_from(tmp_path / "DB", taxonomy, found)[0]
    database.complete()
    tags = database.store.table("tags")
    lengths = np.diff(tags["categories"].combine_chunks().offsets.to_numpy())
    completed = pa.table(
        {
            "row": np.repeat(tags["row"].to_numpy(), lengths),
            "category": tags["categories"].combine_chunks().flatten(),
            "present": np.ones(lengths.sum(), bool),
            "confidence": tags["confidences"].combine_chunks().flatten(),
        }
    )
    report = closure_report(completed, hierarchy)
    assert report.certain + report.mixed + report.fractional == 100
    assert (report.open, report.missing_parent, report.weaker_parent) == (0, 0, 0)
