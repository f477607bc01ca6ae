"""Parquet shards for Hugging Face datasets, with a dataset card.

    README.md                    the card: splits, counts, licences, what is left out
    data/SPLIT-NNNNN.parquet     an image a row
    label-map.tsv                the key of each category's name

`datasets.load_dataset("parquet", data_files=...)`, or `load_dataset(FOLDER)`, knows the names of
the categories: the Parquet schema's metadata say that `labels` is a list of ClassLabel. Image bytes
go into a column `image` of the feature Image.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.labels.exports.files import SHARD_BYTES, Series, Writer, json_text
from mlimages.labels.exports.values import (
    EXTRA_COLUMNS,
    LABEL_MAP,
    public_uris,
    unique_names,
    write_label_map,
)
from mlimages.labels.exports.view import Block, View
from mlimages.schemas import IMAGES, TAG_REASONS

CARRIES = frozenset(
    {"absences", "confidences", "reasons", "because", "image_sources", "ids", "splits", "urls"}
    | {"further_urls", "licence", "author", "sizes", *EXTRA_COLUMNS}
)
IMAGES_A_GROUP = 256  # of a row group with image bytes
SPLIT_NAMES = "the exact split names of {n} images"
WITHOUT_BYTES = "{n} images whose bytes are not packed"
_DETAILS = ("licence", "author", "width", "height", *EXTRA_COLUMNS)
_CLASSES = pa.list_(pa.int64())
COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("uris", pa.list_(pa.string())),
        ("labels", _CLASSES),
        ("confidences", pa.list_(pa.float32())),
        ("reasons", _CLASSES),
        ("because", _CLASSES),
        ("absent", _CLASSES),
        ("sources", pa.list_(pa.string())),
        ("licence", pa.string()),
        ("author", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        *(IMAGES.field(name) for name in EXTRA_COLUMNS),
    ]
)
IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def write(view: View, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the shards and their card into `folder`.

    Args:
        view: with `read_image`, the images' bytes go in too.
        folder: an empty folder.
        shard_bytes: size after which a shard is closed.
    """
    schema = COLUMNS if view.read_image is None else COLUMNS.append(IMAGE)
    schema = schema.with_metadata({"huggingface": _features(view, schema)})
    counts: dict[str, int] = {}

    def start(file: BinaryIO) -> Writer:
        return _ParquetWriter(file, schema)

    with Series(folder / "data", "parquet", shard_bytes, start) as series:
        for block in view.blocks("rows"):
            for part in block.cut(IMAGES_A_GROUP) if view.read_image else [block]:
                table = _rows(view, part, schema)
                codes = np.array(part.splits)
                for split in sorted(set(part.splits)):
                    name = split_name(split)
                    if name != split:
                        view.lose(SPLIT_NAMES, int((codes == split).sum()))
                    counts[name] = counts.get(name, 0) + int((codes == split).sum())
                    writer = series.writer(name)
                    assert isinstance(writer, _ParquetWriter)
                    writer.add(table.filter(pa.array(codes == split)))
    write_label_map(folder / LABEL_MAP, unique_names(view.taxonomy), view.taxonomy)
    (folder / "README.md").write_text(_card(view, counts), encoding="utf-8")


def split_name(split: str) -> str:
    """The name of a split with only the letters that Hugging Face allows."""
    return re.sub(r"\W", "_", split)


class _ParquetWriter(Writer):
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        super().__init__(file)
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


def _rows(view: View, block: Block, schema: pa.Schema) -> pa.Table:
    offsets = pa.array(block.tags.indptr.astype(np.int32))
    images = block.images

    def listed(values: np.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, pa.array(values).cast(kind))

    columns: dict[str, Any] = {
        "id": images["id"],
        "uris": pa.array(map(public_uris, images["uris"].to_pylist()), schema.field("uris").type),
        "labels": listed(block.tags.categories, pa.int64()),
        "confidences": listed(block.tags.confidences, pa.float32()),
        "reasons": listed(block.tags.reasons, pa.int64()),
        "because": listed(block.tags.because, pa.int64()),
        "absent": _absent(block),
        "sources": images["sources"],
        **{name: images[name] for name in _DETAILS},
    }
    if view.read_image is not None:
        columns["image"] = pa.array(_pictures(view, block), IMAGE.type)
    return pa.table(columns, schema=schema)


def _absent(block: Block) -> pa.Array:
    """Categories that some source says are absent, ascending, each once."""
    gone = ~block.facts.present
    place = np.searchsorted(block.rows, block.facts.rows[gone]).astype(np.int64)
    keys = np.unique(place << 32 | block.facts.categories[gone])
    indptr = np.searchsorted(keys >> 32, np.arange(len(block) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(indptr), pa.array(keys & 0xFFFFFFFF))


def _pictures(view: View, block: Block) -> list[dict[str, Any] | None]:
    assert view.read_image is not None
    pictures: list[dict[str, Any] | None] = []
    for name, row in zip(block.images["id"].to_pylist(), block.rows.tolist(), strict=True):
        found = view.read_image(row)
        if found is None:
            view.lose(WITHOUT_BYTES)
            pictures.append(None)
        else:
            pictures.append({"bytes": found.data, "path": f"{name}.{found.suffix}"})
    return pictures


def _features(view: View, schema: pa.Schema) -> str:
    """What the Hugging Face library reads from the schema's metadata."""
    classes = {"names": unique_names(view.taxonomy), "_type": "ClassLabel"}
    reasons = {"names": list(TAG_REASONS), "_type": "ClassLabel"}
    texts = {"dtype": "string", "_type": "Value"}
    numbers = {"dtype": "float32", "_type": "Value"}
    features: dict[str, Any] = {
        name: {"dtype": str(schema.field(name).type), "_type": "Value"}
        for name in ("id", *_DETAILS)
    }
    for name, inner in (
        ("uris", texts),
        ("sources", texts),
        ("labels", classes),
        ("because", classes),
        ("absent", classes),
        ("reasons", reasons),
        ("confidences", numbers),
    ):
        features[name] = {"feature": inner, "_type": "Sequence"}
    features["image"] = {"_type": "Image"}
    return json_text({"info": {"features": {name: features[name] for name in schema.names}}})


def _card(view: View, counts: dict[str, int]) -> str:
    total = sum(counts.values())
    files = [
        f'      - split: {name}\n        path: "data/{name}-*.parquet"' for name in sorted(counts)
    ]
    rows = [f"| {name} | {counts[name]:,} |" for name in sorted(counts)]
    bytes_said = "with" if view.read_image is not None else "without"
    return "\n".join(
        [
            "---",
            "task_categories:",
            "  - image-classification",
            "tags:",
            "  - multi-label",
            "size_categories:",
            f"  - {_size_category(total)}",
            "configs:",
            "  - config_name: default",
            "    data_files:",
            *files,
            "---",
            "",
            f"# {total:,} images, {len(view.taxonomy):,} categories",
            "",
            f"A multi-label image database, written by mlimages, {bytes_said} the images' bytes.",
            "",
            "| split | images |",
            "|---|---|",
            *rows,
            "",
            "`labels` are the categories present, with `confidences`, the rule that gave each",
            f"(`reasons`: {', '.join(TAG_REASONS)}) and the category that supports it (`because`).",
            "`absent` are categories that a source says are not there. All others are unknown:",
            "unknown is not absent.",
            "",
            "Licences and authors are the images' own: see ATTRIBUTION.md and croissant.json.",
            "Some categories of persons are sensitive; do not show or predict them for people.",
            "",
        ]
    )


def _size_category(total: int) -> str:
    """The Hub's word for a number of rows: `1K<n<10K`."""
    bounds = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    for exponent, bound in enumerate(bounds):
        if total < 10 ** (exponent + 3):
            return f"n<{bound}" if exponent == 0 else f"{bounds[exponent - 1]}<n<{bound}"
    return "n>1B"
