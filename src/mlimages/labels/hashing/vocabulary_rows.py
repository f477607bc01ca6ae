"""Rows of the tables about the vocabulary and the sources, in the canonical encoding."""

from __future__ import annotations

import json

from mlimages.labels.hashing.canonical import Digests, Keys, Rows, digests_of
from mlimages.store import Store


def category_rows(store: Store) -> Rows:
    """Each category, its index included: label vectors and published lists use it."""
    records = store.table("categories").to_pylist()
    yield _small(b"category", [record["key"] for record in records], records)


def hierarchy_rows(store: Store) -> Rows:
    """Each link from a child to its parent."""
    keys = Keys(store).keys
    records = [
        {**record, "child": keys[record["child"]], "parent": keys[record["parent"]]}
        for record in store.table("hierarchy").to_pylist()
    ]
    yield _small(b"link", [f"{r['child']} below {r['parent']}" for r in records], records)


def source_rows(store: Store) -> Rows:
    """Each source."""
    keys = Keys(store).keys
    records = [
        {**record, "exhaustive": sorted(keys[category] for category in record["exhaustive"])}
        for record in store.table("sources").to_pylist()
    ]
    yield _small(b"source", [record["source"] for record in records], records)


def pair_rows(store: Store) -> Rows:
    """Each pair of co-occurring categories with its evidence."""
    keys = Keys(store).keys
    records = [
        {
            **record,
            "cause": keys[record["cause"]],
            "effect": keys[record["effect"]],
            "ratio": float(record["ratio"]).hex(),
        }
        for record in store.table("cooccurrence").to_pylist()
    ]
    yield _small(b"pair", [f"{r['cause']} with {r['effect']}" for r in records], records)


def _small(person: bytes, labels: list[str], records: list[dict]) -> tuple[list[str], Digests, int]:
    texts = [
        json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        for record in records
    ]
    return labels, digests_of(person, texts), len(records)
