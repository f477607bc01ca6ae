"""Building the database: label lists to tags with reasons, whole, and step by step beside peers.

At full size 17.6 million images in the released text form are imported, completed, with
co-occurrence from a network's predictions, counted, and written: `seconds.build`, `peak_gb.build`,
and two smaller sizes before it. Then completion and co-occurrence alone, Arrow tables in memory to
sorted Arrow tables in memory, two threads a side, each side in a process of its own: DuckDB in two
forms, Polars, scipy and plain Python (`peers/`), each at the largest size it can do. A side's
result must equal ours at its size, or nothing is reported. At last completion with writing, where
we write the tags twice, by image and by category, and DuckDB once: `ratios.written_vs_duckdb`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from harness import Outcome, main, watched
from inputs.ml_images import Inputs, draw, write_lists
from peers import arrays, relational

from mlimages.database import Database
from mlimages.labels.derivation.cooccurrence import Labelled, find_pairs
from mlimages.labels.derivation.rules import Rules, derive_tags
from mlimages.labels.sources import tencent
from mlimages.labels.sparse import upward
from mlimages.manifest import PARTITION_ROWS
from mlimages.storage import sync
from mlimages.store import Commit, Store
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

HERE = Path(__file__).resolve().parent
SIZES = {False: (1 / 16, 1 / 4, 1.0), True: (1 / 1024, 1 / 512, 1 / 256)}
# Shares of the whole that each peer is given: all of it, or what 24 GB and an hour allow.
LARGEST = {
    False: {"duckdb": 1.0, "polars": 1 / 4, "scipy": 1 / 4, "python": 1 / 256},
    True: {"duckdb": 1 / 128, "polars": 1 / 128, "scipy": 1 / 128, "python": 1 / 1024},
}
SIDES = {
    "duckdb": ("duckdb_join", "duckdb_other"),
    "polars": ("polars",),
    "scipy": ("scipy",),
    "python": ("python",),
}
# Of a side, in its process. Ours is the median without the first, which loads machine code; a
# peer's is the best of all its runs.
OUR_RUNS, PEER_RUNS = 4, 2


def measure(quick: bool, work: Path) -> Outcome:
    """Build at three sizes, then run each step beside its peers."""
    outcome = Outcome()
    for scale in SIZES[quick]:
        name = "build" if scale == SIZES[quick][-1] else f"build_{scale:.4g}"
        _build(outcome, name, scale, work / name)
    for step in ("completion", "cooccurrence"):
        for peer, scale in LARGEST[quick].items():
            _compare(outcome, step, peer, scale)
    _compare_written(outcome, LARGEST[quick]["duckdb"], work)
    return outcome


def _build(outcome: Outcome, name: str, scale: float, folder: Path) -> None:
    folder.mkdir()
    _child("write", str(scale), str(folder))
    result, seconds, peak = _child("build", str(folder))
    outcome.seconds[name], outcome.peak_gb[name] = seconds, peak
    outcome.raw[name] = [seconds]
    for key, value in result.items():
        outcome.seconds[f"{name}.{key}"] = value


def _compare(outcome: Outcome, step: str, peer: str, scale: float) -> None:
    """Time ours and the peer's best form at one size, and hold their results together."""
    ours, _, _ = _child("side", step, "mlimages", str(scale))
    results = {form: _child("side", step, form, str(scale))[0] for form in SIDES[peer]}
    for form, result in results.items():
        shared = {column: ours["digests"][column] for column in result["digests"]}
        if result["digests"] != shared:
            raise SystemExit(f"error: {step} of {form} differs from ours at {scale:.4g}")
        outcome.raw[f"{step}.{form}"] = result["seconds"]
    outcome.raw[f"{step}.mlimages_beside_{peer}"] = ours["seconds"]
    best = min(min(result["seconds"]) for result in results.values())
    mine = float(np.median(ours["seconds"][1:]))
    outcome.seconds[f"{step}.{peer}"] = best
    outcome.seconds[f"{step}.mlimages_beside_{peer}"] = mine
    outcome.ratios[f"{step}_vs_{peer}"] = best / mine


def _compare_written(outcome: Outcome, scale: float, work: Path) -> None:
    """Completion from Arrow tables in memory to synced files."""
    for side in ("mlimages", "duckdb"):
        result, _, _ = _child("written", side, str(scale), str(work / f"written-{side}"))
        outcome.raw[f"written.{side}"] = result["seconds"]
        outcome.seconds[f"written.{side}"] = min(result["seconds"])
    ratio = outcome.seconds["written.duckdb"] / outcome.seconds["written.mlimages"]
    outcome.ratios["written_vs_duckdb"] = ratio


def _child(*arguments: str) -> tuple[dict, float, float]:
    """Run a part of this file in a process of its own; its JSON, seconds and peak memory."""
    output, seconds, peak = watched([sys.executable, __file__, "--child", *arguments], HERE)
    return json.loads(output), seconds, peak


def child_write(scale: str, folder: str) -> dict:
    """Write the lists and predictions of a size."""
    taxonomy = released_taxonomy()
    write_lists(draw(taxonomy, float(scale)), taxonomy, Path(folder))
    return {}


def child_build(folder: str) -> dict:
    """Build the database through the public functions; seconds of each step, and counts."""
    taxonomy, root, seconds = released_taxonomy(), Path(folder, "DB"), {}

    def timed(name: str, step: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - start
        return result

    single = Path(folder, "train_image_id_from_imagenet.txt")
    several = Path(folder, "train_urls_from_openimages.txt")
    database = Database.create(root, taxonomy)
    read = partial(tencent.read, source="imagenet", single_label=True)
    timed("import_single", lambda: database.add(read(single, taxonomy)))
    read = partial(tencent.read, source="openimages")
    timed("import_several", lambda: database.add(read(several, taxonomy)))
    predictions = Path(folder, "predictions.parquet")
    timed("complete", lambda: database.complete(Rules(), predictions))
    timed("statistics", database.statistics)
    return seconds


def child_side(step: str, side: str, scale: str) -> dict:
    """Time one side of a step on drawn inputs; its result's digests."""
    taxonomy = released_taxonomy()
    inputs = draw(taxonomy, float(scale))
    hierarchy = taxonomy.hierarchy("tencent")
    above = upward(hierarchy)
    facts, shown, single = inputs.facts, inputs.predictions, inputs.single
    parts = _parts(inputs) if side == "mlimages" else []
    run: dict[str, dict[str, Callable[[], object]]] = {
        "completion": {
            "mlimages": lambda: _derive(parts, hierarchy),
            "duckdb_join": lambda: relational.duckdb_completion(facts, above, "join"),
            "duckdb_other": lambda: relational.duckdb_completion(facts, above, "unnest"),
            "polars": lambda: relational.polars_completion(facts, above),
            "scipy": lambda: arrays.scipy_completion(facts, above, inputs.images),
            "python": lambda: arrays.python_completion(facts, above),
        },
        "cooccurrence": {
            "mlimages": lambda: (
                find_pairs(
                    shown, [partial(_same, p) for p in parts], inputs.images, hierarchy, Rules()
                ).pairs
            ),
            "duckdb_join": lambda: relational.duckdb_pairs(facts, shown, single, above, "join"),
            "duckdb_other": lambda: relational.duckdb_pairs(facts, shown, single, above, "filter"),
            "polars": lambda: relational.polars_pairs(facts, shown, single, above),
            "scipy": lambda: arrays.scipy_pairs(facts, shown, single, above),
            "python": lambda: arrays.python_pairs(facts, shown, single, above),
        },
    }
    seconds, result = [], None
    for _ in range(OUR_RUNS if side == "mlimages" else PEER_RUNS):
        result = None  # the memory of one result is the next one's
        start = time.perf_counter()
        result = run[step][side]()
        seconds.append(time.perf_counter() - start)
    tables = map(_flat, result) if isinstance(result, list) else [result]
    return {"seconds": seconds, "digests": _digests(tables)}


def child_written(side: str, scale: str, folder: str) -> dict:
    """Time completion with writing."""
    taxonomy, place, seconds = released_taxonomy(), Path(folder), []
    inputs = draw(taxonomy, float(scale))
    hierarchy = taxonomy.hierarchy("tencent")
    above, parts = upward(hierarchy), _parts(inputs)
    place.mkdir()
    for number in range(PEER_RUNS):
        start = time.perf_counter()
        if side == "mlimages":
            store = Store.create(place / str(number), _partition_rows(inputs.images))
            with store.commit("benchmark") as commit, ThreadPoolExecutor(2) as pool:
                list(pool.map(partial(_write, commit, hierarchy), parts))
        else:
            path = place / f"{number}.parquet"
            relational.duckdb_completion(inputs.facts, above, "join", path)
            sync(path)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def _write(commit: Commit, hierarchy: Hierarchy, part: Labelled) -> None:
    tags = derive_tags(part.facts, len(part.single), hierarchy)
    number = part.first_row // commit.manifest.partition_rows
    commit.replace("tags", tags.to_table(part.first_row), number)
    commit.replace("postings", tags.to_postings(part.first_row), number)


def _same(part: Labelled) -> Labelled:
    return part


def _partition_rows(images: int) -> int:
    """Images of a partition: the store's number, or less where both threads would not have work."""
    return min(PARTITION_ROWS, -(-images // 8))


def _parts(inputs: Inputs) -> list[Labelled]:
    """The facts as the store gives them: a table a partition, rows counted from its first."""
    facts, parts = inputs.whole_facts(), []
    size = _partition_rows(inputs.images)
    rows = facts["row"].to_numpy()
    for first in range(0, inputs.images, size):
        last = min(first + size, inputs.images)
        begin, end = np.searchsorted(rows, (first, last)).tolist()
        local = pa.array(rows[begin:end] - np.int32(first))
        part = facts.slice(begin, end - begin).set_column(0, "row", local)
        parts.append(Labelled(first, part, np.arange(first, last) < inputs.single))
    return parts


def _derive(parts: list[Labelled], hierarchy: Hierarchy) -> list[pa.Table]:
    """schemas.TAGS of each partition, two at a time."""

    def one(part: Labelled) -> pa.Table:
        return derive_tags(part.facts, len(part.single), hierarchy).to_table(part.first_row)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, parts))


def _flat(tags: pa.Table) -> pa.Table:
    """schemas.TAGS with one row a tag, as the peers give them."""
    lists = tags["categories"].combine_chunks()
    rows = np.repeat(tags["row"].to_numpy(), lists.value_lengths().to_numpy())
    names = {"categories": "category", "confidences": "confidence", "reasons": "reason"}
    columns = {
        "row": pa.array(rows),
        **{
            names.get(name, name): tags[name].combine_chunks().flatten()
            for name in tags.column_names[1:]
        },
    }
    return pa.table(columns)


def _digests(tables: Iterable[pa.Table]) -> dict[str, str]:
    """A hash of each column over all tables."""
    found: dict = {}
    for table in tables:
        for name in table.column_names:
            digest = found.setdefault(name, hashlib.sha256())
            for chunk in table[name].chunks:
                digest.update(np.ascontiguousarray(chunk.to_numpy(zero_copy_only=False)).data)
    return {name: digest.hexdigest() for name, digest in found.items()}


CHILDREN = {
    "write": child_write,
    "build": child_build,
    "side": child_side,
    "written": child_written,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(CHILDREN[sys.argv[2]](*sys.argv[3:])))
    else:
        packages = ["numba", "numpy", "pyarrow", "duckdb", "polars", "scipy"]
        main(__doc__.splitlines()[0], measure, packages, writes=True)
