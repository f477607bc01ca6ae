"""A dictionary checked in the plainest way, sharing no code with the package: only its WordNet."""

import re
from importlib import resources
from itertools import pairwise

import pyarrow.parquet as pq

HEADER = ["category_index", "category_id", "index_of_parent_category", "category name"]
NOUNS = str(resources.files("mlimages.taxonomy") / "data" / "wordnet_nouns.parquet")
TABLE = pq.read_table(NOUNS, columns=["offset", "hypernyms", "instance_hypernyms"]).to_pylist()
OVER = {f"n{o:08d}": [f"n{x:08d}" for x in a + b] for o, a, b in map(dict.values, TABLE)}


def above(start, parents):  # with the start itself, where the way up is a loop
    met = list(parents.get(start, ()))
    for one in met:  # grows meanwhile
        met += [over for over in parents.get(one, ()) if over not in met]
    return met


def check(path):  # ({(line, kind of fault)}, the figures where there is none)
    faults, rows, line_of, keys, parent = set(), [], {}, {}, {}
    text = path.read_bytes().decode("utf-8", "replace").removesuffix("\n")
    for n, line in enumerate(text.split("\n"), 1):
        cells = line.replace("\r", "").split("\t")
        i = int(cells[0]) if re.fullmatch("0|[1-9][0-9]*", cells[0]) else -1
        odd = "encoding" * ("\ufffd" in line), "carriage_return" * ("\r" in line)
        faults |= {(n, kind) for kind in odd}
        if n == 1 or len(cells) != 4:
            faults.add((n, "columns" if n > 1 else "header" * (cells != HEADER)))
        else:
            known = cells[1] in OVER or re.fullmatch(r"[a-z][\w-]*:\S+", cells[1])
            order = (
                "duplicate_index" if i in line_of else "order" * (i < next(reversed(line_of), 0))
            )
            faults.add((n, "index" if i < 0 else order))
            faults.add((n, "duplicate_id" if cells[1] in keys else "id" * (not known)))
            faults |= {(n, "name" * (not cells[3]))}
            keys[cells[1]] = i
            rows.append((n, i, cells[2], cells[3]))
        if n > 1 and i >= 0:
            line_of.setdefault(i, n)
    faults |= {(line_of[b], "gap" * (b > a + 1)) for a, b in pairwise([-1, *sorted(line_of)])}
    for n, i, up, _ in rows:
        if not re.fullmatch("-1|0|[1-9][0-9]*", up):
            faults.add((n, "parent"))
        elif up != "-1":
            faults.add((n, "dangling_parent" * (int(up) not in line_of)))
            parent |= {i: [int(up)]} if line_of.get(i) == n else {}
    forest = {i: above(i, parent) for i in parent}
    faults |= {(min(map(line_of.get, f)), "cycle") for i, f in forest.items() if i in f}
    faults = {(n, kind) for n, kind in faults if kind}
    return faults, {} if faults else figures(keys, forest, parent, sorted(r[3] for r in rows))


def figures(index_of, forest, parent, names):
    pairs = {(i, j) for i, over in forest.items() for j in over}
    over = {i: above(key, OVER) for key, i in index_of.items()}
    nouns = {(i, index_of[key]) for i in over for key in over[i] if key in index_of}
    return {
        "categories": len(names),
        "forest_pairs": len(pairs),
        "wordnet_pairs": len(nouns),
        "pairs_lost_by_forest": len(nouns - pairs),
        "parents_outside_wordnet": len({(i, p) for i, (p,) in parent.items()} - nouns),
        "parents_after_child": sum(p > i for i, (p,) in parent.items()),
        "shared_names": len({a for a, b in pairwise(names) if a == b}),
        "name_repeats": len(names) - len(set(names)),
    }
