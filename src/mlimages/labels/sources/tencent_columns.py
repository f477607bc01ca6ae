"""Blocks of a Tencent ML-Images list as whole columns, about fifty times faster than by line.

A compiled loop reads the lines of the usual form; every other line is left to `LineParser`, whose
word on what is wrong is the only one. What comes out is the same as from `LineReader`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.identity import ListedImages, image_id, is_safe, is_url
from mlimages.labels.reading import Reading
from mlimages.labels.sources.files import IMAGE_SUFFIXES, stem
from mlimages.labels.sources.line_blocks import Block
from mlimages.labels.sources.photos import ListedPhotos
from mlimages.labels.sources.tencent_kernels import MOST_DIGITS, parse_lines
from mlimages.labels.sources.tencent_lines import LineParser, LineReader, ListOptions, Tag
from mlimages.labels.string_index import all_distinct
from mlimages.labels.text_kernels import copy_spans
from mlimages.schemas import FACT_KINDS, NAME, READING_FACTS, READING_IMAGES, READING_REJECTS

_SUFFIXES = np.array([int.from_bytes(s.encode(), "big") for s in sorted(IMAGE_SUFFIXES)], np.int64)
_POWERS = np.array([float(10**digits) for digits in range(MOST_DIGITS + 1)], np.float64)
_ZERO = "its name holds a zero byte"

Positions = NDArray[np.int64]


@dataclass
class _Kept:
    """Lines that are sound in themselves, in order.

    Attributes:
        lines: int64 [images], their places in the block.
        listed: string [images].
        ids: string [images], null where the listed name is not safe.
        is_url: bool [images].
        counts: int64 [images], numbers of tags.
        categories, confidences: int32 and float32 [tags].
    """

    lines: Positions
    listed: pa.Array
    ids: pa.Array
    is_url: NDArray[np.bool_]
    counts: NDArray[np.int64]
    categories: NDArray[np.int32]
    confidences: NDArray[np.float32]

    def take(self, chosen: Positions) -> _Kept:
        """Some of the lines, in the order given."""
        begins = np.concatenate([[0], np.cumsum(self.counts)])[:-1]
        counts = self.counts[chosen]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        tags = np.repeat(begins[chosen], counts) + within
        return _Kept(
            self.lines[chosen],
            self.listed.take(pa.array(chosen)),
            self.ids.take(pa.array(chosen)),
            self.is_url[chosen],
            counts,
            self.categories[tags],
            self.confidences[tags],
        )


class ColumnReader:
    """Reads the blocks of a list column by column."""

    def __init__(self, options: ListOptions) -> None:
        self._options = options
        self._parser = LineParser(options.num_categories)
        self._photos = ListedPhotos(options.downloads, options.photos)

    def read(self, block: Block) -> Reading:
        """The images and facts of a block."""
        if block.wrong:
            return LineReader(self._options).read(block)
        rejects: dict[int, str] = {}  # by line
        kept = self._parse(block, rejects)
        uris = self._photos.uris(kept.listed, kept.is_url)
        ids = self._fill_ids(kept, uris)
        namesakes: dict[int, str] = {}
        apart = uris.equals(kept.listed) or all_distinct(uris.drop_null())
        if not apart or not all_distinct(ids):
            wanted = ids
            ids, chosen = self._sort_out(kept, ids, uris, rejects)
            kept, uris = kept.take(chosen), uris.take(pa.array(chosen))
            renamed = np.flatnonzero(pc.not_equal(ids, wanted.take(pa.array(chosen))))
            namesakes = {image: wanted[int(chosen[image])].as_py() for image in renamed.tolist()}
        size = len(ids)
        columns = {"id": ids, "uri": uris, "split": self._splits(kept)}
        nulls = {f.name: pa.nulls(size, f.type) for f in READING_IMAGES if f.name not in columns}
        return Reading(
            source=self._options.source,
            images=pa.table({**columns, **nulls}).select(READING_IMAGES.names),
            facts=_facts(kept),
            rejects=self._reject_table(rejects, block.first),
            single_label=self._options.single_label,
            format="tencent",
            places=kept.listed,
            location=lambda image: f"{self._options.file}:{block.first + int(kept.lines[image])}",
            namesakes=namesakes,
            named_by_place=self._options.named_by_place,
        )

    def _parse(self, block: Block, rejects: dict[int, str]) -> _Kept:
        """Read all lines; those of an unusual form one by one."""
        data = np.frombuffer(block.data, np.uint8)
        num_lines = block.data.count(b"\n") + (not block.data.endswith(b"\n"))
        lines, counts, categories, confidences = parse_lines(
            data,
            num_lines,
            block.data.count(b":"),
            self._options.num_categories,
            _SUFFIXES,
            _POWERS,
        )
        usual = np.flatnonzero(counts >= 0)
        place_end, id_start, id_end, url = lines[usual, 2:].T
        unsafe = id_end < 0
        kept = _Kept(
            usual,
            _strings(data, lines[usual, 0], place_end),
            _strings(data, np.where(unsafe, 0, id_start), np.where(unsafe, 0, id_end), unsafe),
            url.astype(bool),
            counts[usual].astype(np.int64),
            categories,
            confidences,
        )
        judged: dict[int, tuple[str, list[Tag]]] = {}
        for line in np.flatnonzero(counts < 0).tolist():
            found = self._parser.parse(block.data[lines[line, 0] : lines[line, 1]])
            if isinstance(found, str):
                rejects[line] = found
            elif "\0" in found[0]:
                rejects[line] = _ZERO
            else:
                judged[line] = found
        return _with_judged(kept, judged) if judged else kept

    def _fill_ids(self, kept: _Kept, uris: pa.Array) -> pa.Array:
        """The ids, where the listed name is not safe a hash."""
        unsafe = kept.ids.is_null()
        where = np.flatnonzero(unsafe.to_numpy(zero_copy_only=False))
        if len(where) == 0:
            return kept.ids
        hashed = [self._hashed(kept, uris, image) for image in where.tolist()]
        return pc.replace_with_mask(kept.ids, unsafe, pa.array(hashed, pa.string()))

    def _place(self, kept: _Kept, uris: pa.Array, image: int) -> str:
        uri = uris[image].as_py()
        return uri if uri is not None else f"{self._options.source}:{kept.listed[image].as_py()}"

    def _hashed(self, kept: _Kept, uris: pa.Array, image: int) -> str:
        if kept.is_url[image]:
            return image_id(kept.listed[image].as_py())
        return image_id(self._place(kept, uris, image))

    def _sort_out(
        self, kept: _Kept, ids: pa.Array, uris: pa.Array, rejects: dict[int, str]
    ) -> tuple[pa.Array, Positions]:
        """Find what is listed twice in this block: the final ids, and the images that stay."""
        suspects = _repeated(ids) | _repeated(uris)
        listed = ListedImages()
        stays = np.ones(len(ids), bool)
        names = []
        for image in np.flatnonzero(suspects).tolist():
            wanted, hashed = ids[image].as_py(), self._hashed(kept, uris, image)
            place = self._place(kept, uris, image)
            name = listed.admit(wanted, hashed, place, uris[image].is_valid)
            if name is None:
                stays[image] = False
                rejects[int(kept.lines[image])] = f"image {wanted} was listed before"
            names.append(name)
        ids = pc.replace_with_mask(ids, pa.array(suspects), pa.array(names, pa.string()))
        return ids.filter(pa.array(stays)), np.flatnonzero(stays)

    def _splits(self, kept: _Kept) -> pa.Array:
        names = [self._options.split, self._options.split_without_tags]
        tagged = pa.array((kept.counts == 0).astype(np.int32))
        return pa.DictionaryArray.from_arrays(tagged, names).cast(NAME)

    def _reject_table(self, rejects: dict[int, str], first: int) -> pa.Table:
        where = [f"{self._options.file}:{first + line}" for line in sorted(rejects)]
        why = [
            rejects[line].encode("utf-8", "backslashreplace").decode() for line in sorted(rejects)
        ]
        return pa.table([pa.array(where, pa.string()), pa.array(why, pa.string())], READING_REJECTS)


def _with_judged(kept: _Kept, judged: dict[int, tuple[str, list[Tag]]]) -> _Kept:
    """Put lines that were read one by one among the others."""
    names = [stem(listed) for listed, _ in judged.values()]
    strongest: list[dict[int, float]] = []
    for _, tags in judged.values():
        best: dict[int, float] = {}
        for category, confidence in sorted(tags):
            best[category] = confidence  # the greatest comes last
        strongest.append(best)
    both = _Kept(
        np.concatenate([kept.lines, np.array(list(judged), np.int64)]),
        pa.concat_arrays([kept.listed, pa.array([listed for listed, _ in judged.values()])]),
        pa.concat_arrays(
            [kept.ids, pa.array([n if is_safe(n) else None for n in names], pa.string())]
        ),
        np.concatenate([kept.is_url, [is_url(listed) for listed, _ in judged.values()]]),
        np.concatenate([kept.counts, [len(best) for best in strongest]]),
        np.concatenate([kept.categories, [c for best in strongest for c in best]]).astype(np.int32),
        np.concatenate(
            [kept.confidences, [v for best in strongest for v in best.values()]], dtype=np.float32
        ),
    )
    return both.take(np.argsort(both.lines))


def _facts(kept: _Kept) -> pa.Table:
    size = len(kept.categories)
    kinds = pa.array(np.full(size, FACT_KINDS.index("asserted"), np.int32))
    return pa.table(
        {
            "image": pa.array(np.repeat(np.arange(len(kept.counts), dtype=np.int32), kept.counts)),
            "category": pa.array(kept.categories),
            "present": pa.array(np.ones(size, bool)),
            "confidence": pa.array(kept.confidences),
            "kind": pa.DictionaryArray.from_arrays(kinds, list(FACT_KINDS)),
        },
        schema=READING_FACTS,
    )


def _strings(
    data: NDArray[np.uint8],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    null: NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Spans of bytes, which are ASCII, as strings."""
    offsets, copied = copy_spans(data, starts, ends)
    found = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(copied))
    if null is None or not null.any():
        return found
    return pc.if_else(pa.array(null), pa.scalar(None, pa.string()), found)


def _repeated(strings: pa.Array) -> NDArray[np.bool_]:
    """bool [strings]: which of them, other than null, occur more than once."""
    codes = strings.dictionary_encode().indices
    known = codes.is_valid().to_numpy(zero_copy_only=False)
    codes = codes.fill_null(0).to_numpy()
    return known & (np.bincount(codes[known], minlength=1)[codes] > 1)
