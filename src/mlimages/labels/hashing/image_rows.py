"""Rows of the tables about images, in the canonical encoding, partition by partition."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.labels.coded import coded, distinct
from mlimages.labels.hashing.canonical import (
    DIGEST_BYTES,
    Keys,
    Rows,
    column_text,
    digests_of,
    joined,
    tokens_of,
)
from mlimages.schemas import FACT_KINDS, IMAGES
from mlimages.store import Store

_BLOCK_IMAGES = 1 << 17
_FACT = np.dtype(
    [
        ("category", "V16"),
        ("source", "V16"),
        ("present", "u1"),
        ("kind", "u1"),  # index into FACT_KINDS, to which kinds are only ever appended
        ("confidence", "<f4"),
    ]
)
_TAG = np.dtype([("category", "V16"), ("because", "V16"), ("reason", "u1"), ("confidence", "<f4")])


def image_rows(store: Store) -> Rows:
    """Each image: every column of schemas.IMAGES but its row and its places on this machine."""
    for partition in store.partitions("images"):
        table = store.table("images", partition=partition)
        for begin in range(0, table.num_rows, _BLOCK_IMAGES):
            part = table.slice(begin, _BLOCK_IMAGES).combine_chunks()
            columns = [column_text(part, name) for name in IMAGES.names if name != "row"]
            texts = pc.binary_join_element_wise(*columns, b"").to_pylist()
            person = b"image"
            yield part["id"].to_pylist(), digests_of(person, texts), part.num_rows


def split_rows(store: Store) -> Rows:
    """Each image with its split."""
    splits = store.table("splits")
    known = distinct(splits["split"])
    columns = {"row": splits["row"].to_numpy(), "split": coded(splits["split"], known)}
    names = [name.encode() for name in known]

    def text(i: int, part: dict[str, NDArray]) -> bytes:
        return names[part["split"][i]]

    yield from _unpartitioned(store, b"split", columns, text)


def byte_rows(store: Store) -> Rows:
    """Each packed image with the length and checksum of its bytes, wherever they are packed."""
    table = store.table("shards/index", ["row", "length", "crc32"])
    columns = {name: table[name].to_numpy() for name in table.column_names}

    def text(i: int, part: dict[str, NDArray]) -> bytes:
        return b"%d %d" % (part["length"][i], part["crc32"][i])

    yield from _unpartitioned(store, b"bytes", columns, text)


def fact_rows(store: Store) -> Rows:
    """Each image that facts are about, with all of them."""
    keys = Keys(store)
    for partition, ids in _ids(store):
        facts = store.table("facts", partition=partition)
        names = sorted(distinct(facts["source"]), key=str.encode)
        sources, kinds = coded(facts["source"], names), coded(facts["kind"], FACT_KINDS)
        present, confidences = facts["present"].to_numpy(), facts["confidence"].to_numpy()
        rows, categories = facts["row"].to_numpy(), facts["category"].to_numpy()
        keys.check(categories)
        first = rows.astype(np.int64) << 32 | keys.ranks[categories]
        # What follows image and category: source, present, kind, and the bits of the confidence.
        second = sources.astype(np.int64) << 40 | present.astype(np.int64) << 39
        second |= kinds.astype(np.int64) << 32
        second |= confidences.astype(np.float32).view(np.uint32).astype(np.int64)
        order = np.lexsort((second, first))
        tokens = tokens_of(names)

        def record(
            place: NDArray,
            columns: tuple = (categories, sources, present, kinds, confidences),
            tokens: NDArray = tokens,
        ) -> NDArray:
            category, source, held, kind, confidence = (column[place] for column in columns)
            records = np.empty(len(place), dtype=_FACT)
            records["category"], records["source"] = keys.tokens[category], tokens[source]
            records["present"], records["kind"] = held, kind
            records["confidence"] = confidence
            return records

        yield from _grouped(b"facts", ids, rows[order], order, record)


def tag_rows(store: Store) -> Rows:
    """Each image that has tags, with all of them."""
    keys = Keys(store)
    for partition, ids in _ids(store):
        table = store.table("tags", partition=partition)
        for begin in range(0, table.num_rows, _BLOCK_IMAGES):
            part = table.slice(begin, _BLOCK_IMAGES).combine_chunks()
            lists = part["categories"].combine_chunks()
            rows = np.repeat(part["row"].to_numpy(), lists.value_lengths().to_numpy())
            columns = [
                part[name].combine_chunks().flatten().to_numpy()
                for name in ("categories", "because", "reasons", "confidences")
            ]
            keys.check(columns[0])
            keys.check(columns[1])
            order = np.argsort(rows.astype(np.int64) << 32 | keys.ranks[columns[0]], kind="stable")

            def record(place: NDArray, columns: list = columns) -> NDArray:
                category, because, reason, confidence = (column[place] for column in columns)
                records = np.empty(len(place), dtype=_TAG)
                records["category"], records["because"] = (
                    keys.tokens[category],
                    keys.tokens[because],
                )
                records["reason"], records["confidence"] = reason, confidence
                return records

            yield from _grouped(b"tags", ids, rows[order], order, record)


def _ids(store: Store) -> Iterator[tuple[int, dict[str, NDArray]]]:
    """Of each partition: its rows, ascending, and their ids."""
    for partition in store.partitions("images"):
        table = store.table("images", ["row", "id"], partition).sort_by("row").combine_chunks()
        ids = np.array(table["id"].to_pylist(), dtype=object)
        yield partition, {"row": table["row"].to_numpy(), "id": ids}


def _grouped(
    person: bytes,
    ids: dict[str, NDArray],
    rows: NDArray,
    order: NDArray,
    record: Callable[[NDArray], NDArray],
) -> Rows:
    """Digests of images from the records of each; `rows` ascend, `order` says where they are."""
    make = functools.partial(blake2b, digest_size=DIGEST_BYTES, person=person)
    begin = 0
    while begin < len(rows):
        # Whole images, a bounded number of records at a time.
        last = rows[min(begin + 8 * _BLOCK_IMAGES, len(rows)) - 1]
        end = int(np.searchsorted(rows, last, side="right"))
        found, first = np.unique(rows[begin:end], return_index=True)
        place = np.searchsorted(ids["row"], found)
        if place[-1] >= len(ids["row"]) or not np.array_equal(ids["row"][place], found):
            raise DatabaseError("database", "a row without an image", "run: mlimages check")
        records = record(order[begin:end])
        data, size = records.tobytes(), records.itemsize
        bounds = [*(first * size).tolist(), len(data)]
        labels = ids["id"][place].tolist()
        digests = [
            make(b"%d:%b" % (len(label), label.encode()) + data[bounds[i] : bounds[i + 1]]).digest()
            for i, label in enumerate(labels)
        ]
        yield labels, joined(digests), end - begin
        begin = end


def _unpartitioned(
    store: Store,
    person: bytes,
    columns: dict[str, NDArray],
    text: Callable[[int, dict[str, NDArray]], bytes],
) -> Rows:
    """Rows of a table that is in one piece, partition by partition with the images' ids."""
    make = functools.partial(blake2b, digest_size=DIGEST_BYTES, person=person)
    order = np.argsort(columns["row"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    for _, ids in _ids(store):
        begin, end = np.searchsorted(columns["row"], [ids["row"][0], ids["row"][-1] + 1])
        part = {name: column[begin:end] for name, column in columns.items()}
        labels = ids["id"][np.searchsorted(ids["row"], part["row"])].tolist()
        digests = [
            make(b"%d:%b" % (len(label), label.encode()) + text(i, part)).digest()
            for i, label in enumerate(labels)
        ]
        yield labels, joined(digests), len(labels)
