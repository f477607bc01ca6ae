"""WebDataset tars with the labels inside: ID.json, and with the images' bytes ID.jpg before it.

    {"id": ..., "split": ..., "uris": [...], "sources": [...], "licence": ..., "author": ...,
     "width": ..., "height": ..., "tags": {key: confidence}, "reasons": {key: rule},
     "because": {key: key}, "facts": [[key, source, kind, present, confidence], ...]}

and what else the database knows of the original: its title, length, checksum.

Categories are keys (a wnid, or namespace:key), explained once in categories.json beside the tars.
The database's own shards are valid WebDataset without labels; these are for readers that want a
sample in one place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlimages.labels.exports.files import SHARD_BYTES, Series, TarWriter, json_text
from mlimages.labels.exports.values import EXTRA_COLUMNS, public_uris, short
from mlimages.labels.exports.view import Block, View
from mlimages.schemas import FACT_KINDS, TAG_REASONS

CARRIES = frozenset(
    {"absences", "confidences", "reasons", "because", "fact_sources", "kinds", "image_sources"}
    | {"ids", "splits", "urls", "further_urls", "licence", "author", "sizes", "hierarchy"}
    | {"further_parents", "further_names", "glosses", "sensitive"}
    | {*EXTRA_COLUMNS}
)
WITHOUT_BYTES = "{n} images whose bytes are not packed"
_FIELDS = ("sources", "licence", "author", "width", "height", *EXTRA_COLUMNS)


def write(view: View, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write SPLIT-NNNNN.tar and categories.json into `folder`.

    Args:
        view: with `read_image`, the images' bytes go in too; images without them are left out.
        folder: an empty folder.
        shard_bytes: size after which a tar is closed.
    """
    (folder / "categories.json").write_text(json_text(_categories(view)) + "\n", encoding="utf-8")
    keys = view.taxonomy.keys
    with Series(folder, "tar", shard_bytes, TarWriter) as series:
        for block in view.blocks("samples"):
            for record, sample in zip(block.records(), _samples(block, keys), strict=True):
                found = view.read_image(record["row"]) if view.read_image else None
                if view.read_image is not None and found is None:
                    view.lose(WITHOUT_BYTES)
                    continue
                writer = series.writer(sample["split"])
                assert isinstance(writer, TarWriter)
                if found is not None:
                    writer.add(f"{record['id']}.{found.suffix}", found.data)
                writer.add(f"{record['id']}.json", json_text(sample).encode())


def _samples(block: Block, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    tags, facts = block.tags, block.facts
    names = [keys[category] for category in tags.categories.tolist()]
    because = [keys[category] for category in tags.because.tolist()]
    confidences = [short(confidence) for confidence in tags.confidences.tolist()]
    reasons = [TAG_REASONS[reason] for reason in tags.reasons.tolist()]
    values: dict[str, list[Any]] = {"tags": confidences, "reasons": reasons, "because": because}
    columns = (facts.categories, facts.sources, facts.kinds, facts.present, facts.confidences)
    said = [
        [keys[category], facts.source_names[source], FACT_KINDS[kind], present, short(confidence)]
        for category, source, kind, present, confidence in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
    bounds = np.searchsorted(facts.rows, np.append(block.rows, block.rows[-1] + 1)).tolist()
    samples = []
    for i, (record, (begin, end)) in enumerate(zip(block.records(), block.ranges(), strict=True)):
        samples.append(
            {
                "id": record["id"],
                "split": block.splits[i],
                "uris": public_uris(record["uris"]),
                **{name: record[name] for name in _FIELDS},
                **{
                    field: dict(zip(names[begin:end], listed[begin:end], strict=True))
                    for field, listed in values.items()
                },
                "facts": said[bounds[i] : bounds[i + 1]],
            }
        )
    return samples


def _categories(view: View) -> list[dict[str, Any]]:
    keys = view.taxonomy.keys
    parents: dict[str, list[list[str]]] = {}
    for mode in ("tencent", "wordnet"):
        parents[mode] = [[] for _ in keys]
        child, parent = view.taxonomy.hierarchy(mode).edges()
        for below, above in zip(child.tolist(), parent.tolist(), strict=True):
            parents[mode][below].append(keys[above])
    return [
        {
            "key": category.key,
            "names": list(category.names),
            "gloss": category.gloss,
            "sensitive": category.sensitive,
            "parents": {mode: listed[category.index] for mode, listed in parents.items()},
        }
        for category in view.taxonomy.categories
    ]
