"""What reading one source yields: images, facts about them, and what could not be read.

Every format's reader fills a `ReadingBuilder` and returns its `Reading`, or yields a stream of them
(`streams.py`) when there may be more images than fit into memory. The counts reconcile: each entry
that was read (a line, a photo, an annotation file) is either a kept image or a named reject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.collected_facts import CollectedFacts
from mlimages.labels.identity import SAFE_ID, ListedImages, image_id, is_safe, is_url
from mlimages.labels.string_index import all_distinct
from mlimages.schemas import FACT_KINDS, READING_FACTS, READING_IMAGES, READING_REJECTS

DEFAULT_SPLIT = "train"
CHUNK_IMAGES = 200_000
CHUNK_FACTS = 2_000_000


def _no_rejects() -> pa.Table:
    return READING_REJECTS.empty_table()


@dataclass
class Reading:
    """Images and facts of one source, as tables of `schemas`.

    Attributes:
        source: name of the source; facts of one source belong together.
        images: READING_IMAGES; ids are safe and unique.
        facts: READING_FACTS; at most one a (image, category, present).
        rejects: READING_REJECTS; entries of which no image came.
        line_rejects: READING_REJECTS; what is wrong with annotations of images that were kept.
        exhaustive: int32, ascending; categories for which this source's silence means absence.
        single_label: whether images carry one tag by design, as in ImageNet.
        format: name of the format that was read.
        notes: remarks for the user, one line each.
        read: number of entries read; by default images + rejects.
        places: string [images]; what the source lists, where that tells images without a URI
            apart. In a stream one without either joins the image of its id. None: all of them do.
        location: position of an image -> file or file:line, for a reject.
        namesakes: position of an image -> its own safe name, where another image of this reading
            has that name as its id.
        named_by_place: whether a place gives the image's name, so that in a stream no place comes
            by two names; else this is looked for.

    Raises:
        InputError: a table that breaks one of these rules, or read != images + rejects.
    """

    source: str
    images: pa.Table
    facts: pa.Table
    rejects: pa.Table = field(default_factory=_no_rejects)
    exhaustive: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    single_label: bool = False
    format: str = "table"
    notes: list[str] = field(default_factory=list)
    line_rejects: pa.Table = field(default_factory=_no_rejects)
    read: int | None = None
    places: pa.Array | None = None
    location: Callable[[int], str] | None = None
    namesakes: dict[int, str] = field(default_factory=dict)
    named_by_place: bool = False

    def __post_init__(self) -> None:
        self.images = self.images.cast(READING_IMAGES).combine_chunks()
        self.facts = self.facts.cast(READING_FACTS).combine_chunks()
        self.rejects = self.rejects.cast(READING_REJECTS).combine_chunks()
        self.line_rejects = self.line_rejects.cast(READING_REJECTS).combine_chunks()
        self.exhaustive = np.unique(np.asarray(self.exhaustive, dtype=np.int32))
        if self.read is None:
            self.read = self.images.num_rows + self.rejects.num_rows
        for wrong, cause in self._broken_rules():
            if wrong:
                raise InputError(f"reading of {self.source}", cause, "correct its reader")

    def _broken_rules(self) -> list[tuple[bool, str]]:
        ids, facts = self.images["id"], self.facts
        kept, lost = self.images.num_rows, self.rejects.num_rows
        position, confidence = facts["image"].to_numpy(), facts["confidence"].to_numpy()
        kinds = pc.is_in(facts["kind"], pa.array(FACT_KINDS))
        safe = pc.match_substring_regex(ids, f"^{SAFE_ID}$")
        return [
            (self.read != kept + lost, f"read {self.read}, but kept {kept} and rejected {lost}"),
            (ids.null_count > 0 or not pc.all(safe, min_count=0).as_py(), "an unsafe image id"),
            (not all_distinct(ids.combine_chunks()), "an image id twice"),
            (self.places is not None and len(self.places) != kept, "not a place an image"),
            (self.images["split"].null_count > 0, "an image without a split"),
            (bool(np.any((position < 0) | (position >= kept))), "a fact about no image"),
            (bool(np.any(facts["category"].to_numpy() < 0)), "a fact about no category"),
            (not np.all((confidence > 0) & (confidence <= 1)), "a confidence outside (0, 1]"),
            (not pc.all(kinds, min_count=0).as_py(), f"a fact whose kind is not in {FACT_KINDS}"),
        ]


class ReadingBuilder:
    """Collects what a reader finds. Every entry goes to `add_image` or to `reject`.

    Args:
        source, format, single_label: as in `Reading`.
    """

    def __init__(self, source: str, format: str, *, single_label: bool = False) -> None:
        self.source, self.format, self.single_label = source, format, single_label
        self.exhaustive: set[int] = set()
        self.notes: list[str] = []
        self._ids: list[str] = []
        self._uris: list[str | None] = []
        self._splits: list[str] = []
        # Column -> position -> value: most sources say little of an image.
        self._described: dict[str, dict[int, Any]] = {name: {} for name in READING_IMAGES.names[3:]}
        self._listed = ListedImages()
        self._places: list[str | None] = []
        self._locations: list[str] = []
        self._positions: dict[str, int] = {}  # by id
        self._namesakes: dict[int, str] = {}
        self._facts = CollectedFacts()
        self._rejects: list[tuple[str, str]] = []
        self._line_rejects: list[tuple[str, str]] = []

    def add_image(
        self,
        location: str,
        uri: str | None,
        preferred: str | None = None,
        *,
        place: str | None = None,
        split: str | None = None,
        licence: str | None = None,
        author: str | None = None,
        size: tuple[int, int] | None = None,
        **description: Any,
    ) -> int | None:
        """Take in an image; its position, or None when it became a reject.

        Args:
            location: file or file:line, for a reject.
            uri: where its bytes are; None when the source does not know.
            preferred: the source's own name for it.
            place: what the source lists, by default `preferred`. It tells images apart when
                there is no URI; a URL also gives the id, so that the image keeps it when its bytes
                are found on this machine later.
            split: `DEFAULT_SPLIT` unless given.
            size: (width, height) in pixels, when the source says so.
            description: values of further columns of READING_IMAGES, such as `title`.

        An image listed before is a reject: the same URI or place, or the same name once with a URI
        and once without.
        """
        listed = place
        place = uri if uri is not None else f"{self.source}:{listed or preferred}"
        if not _encodable(place) or not _encodable(preferred or ""):
            self.reject(location, "its name is not valid UTF-8")
            return None
        if "\0" in place:
            self.reject(location, "its name holds a zero byte")
            return None
        hashed = image_id(listed if listed and is_url(listed) else place)
        wanted = preferred if preferred is not None and is_safe(preferred) else hashed
        name = self._listed.admit(wanted, hashed, place, uri is not None)
        if name is None:
            self.reject(location, f"image {wanted} was listed before")
            return None
        if name != wanted:
            self._namesakes[len(self._locations)] = wanted
        self._places.append(listed)
        self._locations.append(location)
        position = self._positions[name] = len(self._ids)
        self._ids.append(name)
        self._uris.append(uri)
        self._splits.append(_printable(split or DEFAULT_SPLIT))
        if size is not None:
            description["width"], description["height"] = size
        for column, value in (("licence", licence), ("author", author), *description.items()):
            if isinstance(value, list):  # of places, of which one that is no text leads nowhere
                value = [text for text in value if _encodable(text)] or None
            if value is not None:
                known = _printable(value) if isinstance(value, str) else value
                self._described[column][position] = known
        return position

    def position_of(self, name: str) -> int | None:
        """The position of an image taken in before, by its id."""
        return self._positions.get(name)

    def id_of(self, position: int) -> str:
        """The id of an image taken in before, by its position."""
        return self._ids[position]

    @property
    def is_full(self) -> bool:
        """Whether it is time for the next chunk."""
        return len(self._locations) >= CHUNK_IMAGES or len(self._facts) >= CHUNK_FACTS

    def take(self) -> Reading:
        """The reading of what was collected; then begin anew, for the same source."""
        reading = self.build()
        exhaustive = self.exhaustive
        self.__init__(self.source, self.format, single_label=self.single_label)  # type: ignore[misc]
        self.exhaustive = exhaustive
        return reading

    def add_fact(
        self,
        image: int,
        category: int,
        confidence: float = 1.0,
        *,
        present: bool = True,
        kind: str = "asserted",
    ) -> None:
        """Add what the source says of an image (its position) and a category."""
        self._facts.add(image, category, confidence, present, kind)

    def add_facts(
        self,
        images: NDArray[np.integer],
        categories: NDArray[np.integer],
        confidences: NDArray[np.floating],
        present: NDArray[np.bool_],
        kinds: NDArray[np.integer],
    ) -> None:
        """Add many facts at once; as `add_fact`, with kinds as positions in FACT_KINDS."""
        self._facts.extend(images, categories, confidences, present, kinds)

    def reject(self, location: str, reason: str) -> None:
        """Name an entry of which no image comes."""
        self._rejects.append((_printable(location), _printable(reason)))

    def reject_line(self, location: str, reason: str) -> None:
        """Name a broken annotation of an image that is kept."""
        self._line_rejects.append((_printable(location), _printable(reason)))

    def note(self, text: str) -> None:
        """Add a remark for the user."""
        self.notes.append(_printable(text))

    def build(self, read: int | None = None) -> Reading:
        """The reading; `read` is the number of entries that the reader itself counted."""
        return Reading(
            source=self.source,
            images=self._build_images(),
            facts=self._facts.table(),
            rejects=_location_table(self._rejects),
            exhaustive=np.array(sorted(self.exhaustive), dtype=np.int32),
            single_label=self.single_label,
            format=self.format,
            notes=self.notes,
            line_rejects=_location_table(self._line_rejects),
            read=read,
            places=pa.array(self._places, pa.string()),
            location=self._locations.__getitem__,
            namesakes=self._namesakes,
        )

    def _build_images(self) -> pa.Table:
        size = len(self._ids)
        columns: list[Any] = [self._ids, self._uris, self._splits]
        for name, known in self._described.items():
            kind = READING_IMAGES.field(name).type
            values = [known.get(position) for position in range(size)] if known else None
            columns.append(pa.nulls(size, kind) if values is None else pa.array(values, kind))
        return pa.table(dict(zip(READING_IMAGES.names, columns, strict=True)), READING_IMAGES)


def _location_table(rows: list[tuple[str, str]]) -> pa.Table:
    locations, reasons = zip(*rows, strict=True) if rows else ((), ())
    return pa.table(
        [pa.array(locations, pa.string()), pa.array(reasons, pa.string())], schema=READING_REJECTS
    )


def _encodable(text: str) -> bool:
    """Whether a name read from the file system is text; otherwise it holds lone surrogates."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _printable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
