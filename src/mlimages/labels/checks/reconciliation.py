"""Whether the tables of a database agree with each other, partition by partition.

`checking.check_store` verifies files and counts; here every row is looked at: what it refers to
exists, nothing is said twice, tags follow from facts by the rules, and postings are the tags.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.checking import tags_are_current
from mlimages.labels.checks.tag_checks import Findings, TagChecks
from mlimages.labels.coded import coded
from mlimages.labels.identity import SAFE_ID
from mlimages.labels.sparse import contains, make_keys
from mlimages.progress import track
from mlimages.schemas import FACT_KINDS
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy

Check = tuple[str, bool, str]
"""(name, whether it passed, what was counted), as in `checking.CheckReport`."""


def reconcile(store: Store, taxonomy: Taxonomy) -> list[Check]:
    """Run every check of this module.

    Args:
        store: a generation whose files are whole.
        taxonomy: its vocabulary.

    Returns:
        One entry a check: ids, splits, facts, packed, and tags and postings where there are any.
    """
    checks = [_ids(store), _splits(store), _packed(store)]
    tag_checks = None
    if store.num_rows("tags"):
        rules = store.manifest.info.get("rules", {})
        hierarchy = taxonomy.hierarchy(rules.get("hierarchy", "tencent"))
        pairs = store.table("cooccurrence", ["cause", "effect"])
        tag_checks = TagChecks(hierarchy, pairs, tags_are_current(store.manifest))
    facts = Findings("facts")
    held = set(store.partitions("images"))
    for name in ("facts", "tags", "postings"):
        stray = [f"{name} {number}" for number in store.partitions(name) if number not in held]
        facts.add("partitions without images", stray)
    for partition in track(store.partitions("images"), "checking", unit="partitions"):
        images = store.table("images", ["row", "sources"], partition)
        said = store.table("facts", partition=partition)
        _check_facts(facts, store, taxonomy, images, said)
        if tag_checks is not None:
            tags = store.table("tags", partition=partition)
            postings = store.table("postings", partition=partition)
            tag_checks.add(np.sort(images["row"].to_numpy()), said, tags, postings)
    checks.append(facts.result())
    if tag_checks is not None:
        checks += [tag_checks.tags.result(), tag_checks.postings.result()]
    return checks


def _ids(store: Store) -> Check:
    """Ids are safe in file names, and no two images share one."""
    found = Findings("ids")
    known = set(store.table("sources", ["source"])["source"].to_pylist())
    digests = []
    for partition in store.partitions("images"):
        table = store.table("images", ["id", "sources"], partition)
        ids = table["id"]
        found.count += len(ids)
        safe = pc.match_substring_regex(ids, f"^{SAFE_ID}$").fill_null(False)
        unsafe = ids.filter(pc.invert(safe)).to_pylist()
        found.add("not safe", [repr(name) for name in unsafe])
        names = pc.unique(pc.list_flatten(table["sources"])).to_pylist()
        found.add("from an unknown source", [name for name in names if name not in known])
        texts = (blake2b(str(name).encode(), digest_size=16).digest() for name in ids.to_pylist())
        digests.append(np.frombuffer(b"".join(texts), dtype="S16"))
    together = np.concatenate(digests) if digests else np.empty(0, "S16")
    together.sort()
    twice = np.count_nonzero(together[1:] == together[:-1])
    found.add("given twice", ["" for _ in range(int(twice))])
    return found.result("images with an id of their own")


def _splits(store: Store) -> Check:
    """Every image is in exactly one split."""
    rows, images = store.table("splits", ["row"])["row"].to_numpy(), store.num_rows("images")
    found = Findings("splits")
    found.count = len(rows)
    outside = (rows < 0) | (rows >= images)
    found.note("of no image", outside, lambda i: f"row {rows[i]}")
    times = np.bincount(rows[~outside], minlength=images)
    found.note("images in several splits", times > 1, lambda i: f"row {i}")
    found.note("images in no split", times == 0, lambda i: f"row {i}")
    return found.result("rows, one an image")


def _packed(store: Store) -> Check:
    """Every packed image exists, lies once in a shard, and its shard is in the generation."""
    table = store.table("shards/index", ["row", "shard", "offset", "length"])
    rows, shards = table["row"].to_numpy(), table["shard"].to_numpy()
    found = Findings("packed")
    found.count = len(rows)
    known = [entry.path.rpartition("/")[2] for entry in store.manifest.files.get("shards", [])]
    numbers = np.array(sorted(int(name.removesuffix(".tar")) for name in known), dtype=np.int64)
    name = _named(rows)
    found.note("of no image", (rows < 0) | (rows >= store.num_rows("images")), name)
    found.note("in a shard that is not there", ~contains(numbers, shards), name)
    order = np.lexsort((table["offset"].to_numpy(), shards))
    begin, length = table["offset"].to_numpy()[order], table["length"].to_numpy()[order]
    same = shards[order][1:] == shards[order][:-1]
    over = np.zeros(len(rows), dtype=bool)
    over[1:] = same & (begin[1:] < begin[:-1] + length[:-1])
    found.note("overlapping the one before", over, _named(rows[order]))
    ordered = np.sort(rows)
    found.note("packed twice", ordered[1:] == ordered[:-1], _named(ordered))
    return found.result("packed images found in shards")


def _check_facts(
    found: Findings, store: Store, taxonomy: Taxonomy, images: pa.Table, facts: pa.Table
) -> None:
    rows, categories = facts["row"].to_numpy(), facts["category"].to_numpy()
    confidences = facts["confidence"].to_numpy()
    held = np.sort(images["row"].to_numpy())
    found.count += len(rows)
    name = _named(rows)
    found.note("about no image of their partition", ~contains(held, rows), name)
    out = (categories < 0) | (categories >= len(taxonomy))
    found.note("about no category", out, name)
    found.note("with a confidence outside (0, 1]", ~((confidences > 0) & (confidences <= 1)), name)
    kinds = coded(facts["kind"], FACT_KINDS)
    found.note("of an unknown kind", kinds < 0, name)
    sources = sorted(store.table("sources", ["source"])["source"].to_pylist())
    listed = pa.array(sources, pa.string())
    codes = coded(facts["source"], sources)
    lists = images["sources"].combine_chunks()
    annotated = make_keys(
        images["row"].to_numpy()[lists.value_parent_indices().to_numpy()],
        pc.index_in(lists.flatten(), listed).fill_null(-1).to_numpy().clip(min=0),
    )
    unlisted = ~contains(np.unique(annotated), make_keys(rows, codes.clip(min=0))) | (codes < 0)
    found.note("by a source that the image does not list", unlisted, name)
    bits = confidences.astype(np.float32).view(np.uint32).astype(np.int64)
    present = facts["present"].to_numpy()
    order = np.lexsort((bits, kinds, present, codes, categories, rows))
    same = np.ones(max(len(rows) - 1, 0), dtype=bool)
    for column in (bits, kinds, present, codes, categories, rows):
        same &= column[order][1:] == column[order][:-1]
    found.note("said twice", same, _named(rows[order]))


def _named(rows: NDArray[np.integer]) -> Callable[[int], str]:
    return lambda i: f"row {rows[i]}"
