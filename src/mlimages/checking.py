"""Whether a database is whole: checksums of its files, and counts that reconcile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.manifest import Manifest
from mlimages.store import Store


@dataclass(frozen=True)
class CheckReport:
    """(name, passed, what was counted) for each check."""

    passed: bool
    checks: list[tuple[str, bool, str]]


def check_store(store: Store) -> CheckReport:
    """Verify every file of a generation, then reconcile imports, images, shards and tags."""
    damaged = store.damaged_files()
    files = sum(len(entries) for entries in store.manifest.files.values())
    what = "; ".join(f"{path}: {why}" for path, why in damaged[:5])
    checks = [("files", not damaged, what or f"{files} files match their checksums")]
    if not damaged:
        checks += [_check_imports(store), _check_images(store), _check_pack(store)]
        checks.append(_check_duplicates(store))
        if "tags" in store.manifest.info:
            checks.append(_check_tags(store))
    return CheckReport(all(good for _, good, _ in checks), checks)


def facts_fingerprint(manifest: Manifest) -> str:
    """Changes when anything changes that tags are derived from."""
    names = ("categories", "hierarchy", "images", "sources", "facts")
    sums = [entry.sha256 for name in names for entry in manifest.files.get(name, [])]
    return hashlib.sha256(" ".join(sums).encode()).hexdigest()


def tags_are_current(manifest: Manifest) -> bool:
    """Whether the tags were derived from the facts as they are now."""
    return manifest.info.get("tags_of") == facts_fingerprint(manifest)


def pack_rejects(store: Store) -> pa.Table:
    """Those rejects that packing named, but for images that came into a shard another way since."""
    rejects = store.table("rejects")
    rejects = rejects.filter(pc.equal(rejects["stage"], "pack"))
    if rejects.num_rows:
        packed = store.table("shards/index", ["row"])["row"]
        rejects = rejects.filter(pc.invert(pc.is_in(rejects["row"], packed.combine_chunks())))
    return rejects


def _check_imports(store: Store) -> tuple[str, bool, str]:
    inputs = store.manifest.info.get("inputs", [])
    read, kept, lost = (sum(i[key] for i in inputs) for key in ("read", "kept", "rejected"))
    return "imports", read == kept + lost, f"read {read:,} = kept {kept:,} + rejected {lost:,}"


def _check_images(store: Store) -> tuple[str, bool, str]:
    new = sum(entry["new_images"] for entry in store.manifest.info.get("inputs", []))
    held, gaps = 0, 0
    for partition in store.partitions("images"):
        rows = np.sort(store.table("images", ["row"], partition)["row"].to_numpy())
        gaps += not np.array_equal(rows, np.arange(held, held + len(rows)))
        held += len(rows)
    note = f"{new:,} new in imports, {held:,} in the table"
    return "images", new == held and not gaps, note + (", rows with gaps" if gaps else "")


def _check_pack(store: Store) -> tuple[str, bool, str]:
    images = store.num_rows("images")
    packed = store.table("shards/index", ["row"])["row"].to_numpy()
    lost = pack_rejects(store)["row"].to_numpy()
    waiting = images - len(packed) - len(lost)
    both = np.concatenate([packed, lost])
    good = len(np.unique(both)) == len(both) and (len(both) == 0 or both.max() < images)
    note = f"{len(packed):,} packed + {len(lost):,} rejected + {waiting:,} waiting = {images:,}"
    return "pack", bool(good), note


def _check_duplicates(store: Store) -> tuple[str, bool, str]:
    table, images = store.table("duplicates"), store.num_rows("images")
    away, kept = set(table["row"].to_pylist()), set(table["kept"].to_pylist())
    good = len(away) == table.num_rows and not away & kept and max(away | kept, default=-1) < images
    note = f"{images - len(away):,} images + {len(away):,} that another stands for = {images:,}"
    return "duplicates", good, note


def _check_tags(store: Store) -> tuple[str, bool, str]:
    if not tags_are_current(store.manifest):
        return "tags", False, "older than the facts; run: mlimages complete DB"
    said, held = store.manifest.info["tags"]["tags"], store.num_rows("postings")
    return "tags", said == held, f"{said:,} derived, {held:,} in postings"
