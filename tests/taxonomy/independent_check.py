"""A dictionary checked in the plainest way, sharing no code with the package: only its WordNet."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

HEADER = ["category_index", "category_id", "index_of_parent_category", "category name"]
NOUNS = resources.files("mlimages.taxonomy") / "data" / "wordnet_nouns.parquet"
COLUMNS = ["offset", "hypernyms", "instance_hypernyms"]
TABLE = pq.read_table(str(NOUNS), columns=COLUMNS).to_pydict().values()
ABOVE = {f"n{o:08d}": [f"n{x:08d}" for x in h + i] for o, h, i in zip(*TABLE, strict=True)}


def check(path: Path) -> tuple[set[tuple[int, str]], dict[str, int]]:
    """({(line, kind of fault)}, figures); there are figures only where there is no fault."""
    faults, rows, line_of, keys, previous = set(), {}, {}, set(), -1
    for n, raw in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        line = raw.decode("utf-8", "replace")
        cells = line.replace("\r", "").split("\t")
        faults |= {(n, "encoding")} if "\ufffd" in line else set()
        faults |= {(n, "carriage_return")} if "\r" in line else set()
        faults |= {(n, "header")} if n == 1 and cells != HEADER else set()
        if n == 1:
            continue
        number = int(cells[0]) if re.fullmatch("0|[1-9][0-9]*", cells[0]) else None
        bad_index = "index" if number is None else "order" if number < previous else ""
        bad_index = "duplicate_index" if number in line_of else bad_index
        if len(cells) == 4:
            rows[n] = (number, cells[1], cells[2], cells[3])
            known = cells[1] in ABOVE or re.fullmatch(r"[a-z][\w-]*:\S+", cells[1])
            bad_id = "duplicate_id" if cells[1] in keys else "" if known else "id"
            faults |= {(n, kind) for kind in (bad_index, bad_id, "" if cells[3] else "name")}
            keys.add(cells[1])
        else:
            faults.add((n, "columns"))
        if number is not None and number not in line_of:
            line_of[number], previous = n, number
    in_order = sorted(line_of)
    faults |= {(line_of[b], "gap") for a, b in pairwise([-1, *in_order]) if b > a + 1}
    parent = {}
    for n, (number, _, text, _) in rows.items():
        good = re.fullmatch("-1|0|[1-9][0-9]*", text) is not None
        dangling = good and text != "-1" and int(text) not in line_of
        faults |= {(n, "" if good else "parent"), (n, "dangling_parent" if dangling else "")}
        if good and text != "-1" and line_of.get(number) == n:
            parent[number] = int(text)
    up = {i: walk(i, parent) for i in parent}
    faults |= {(min(line_of[j] for j in up[i]), "cycle") for i in up if i in up[i]}
    faults = {(n, kind) for n, kind in faults if kind}
    return faults, {} if faults else figures(list(rows.values()), parent, up)


def walk(start: int, parent: dict[int, int]) -> list[int]:
    """What is passed on the way up, as far as a root or round a loop once."""
    passed: list[int] = []
    while start in parent and parent[start] not in passed:
        start = parent[start]
        passed.append(start)
    return passed


def figures(rows: list, parent: dict[int, int], up: dict[int, list[int]]) -> dict[str, int]:
    """The known figures of a dictionary without faults."""
    index_of, names = {row[1]: row[0] for row in rows}, sorted(row[3] for row in rows)
    forest, nouns = {(i, j) for i, passed in up.items() for j in passed}, set()
    for key, i in index_of.items():
        over = [*ABOVE[key]]
        for above in over:  # grows while it is walked
            over += [x for x in ABOVE[above] if x not in over]
        nouns |= {(i, index_of[above]) for above in over if above in index_of}
    return {
        "categories": len(rows),
        "forest_pairs": len(forest),
        "wordnet_pairs": len(nouns),
        "pairs_lost_by_forest": len(nouns - forest),
        "parents_outside_wordnet": len(set(parent.items()) - nouns),
        "parents_after_child": sum(p > i for i, p in parent.items()),
        "shared_names": len({a for a, b in pairwise(names) if a == b}),
        "name_repeats": len(names) - len(set(names)),
    }
