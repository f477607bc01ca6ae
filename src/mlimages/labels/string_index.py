"""Which row a string belongs to, among tens of millions of strings, at 12 bytes a slot.

The index holds 64-bit hashes, not strings: a hit is a candidate, and its user compares the strings
themselves. Of two different strings with the same hash, the later is held in full, so that nothing
is lost to a collision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels import compiled

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int32]
MOST_LOAD = 0.6  # of the slots in use, before there are twice as many
COMPILED_FROM = (
    50_000  # strings at once; for fewer, loading the compiler takes longer than it saves
)
_SLICE = 1 << 20  # slots moved at once when the table grows
NONE = np.int32(-1)


def hash_function(strings: int) -> Callable[[pa.Array], Hashes]:
    """A 64-bit hash of each string of an array (null is as empty), good within this process.

    Args:
        strings: about how many there are to hash; few are not worth a compiler.
    """
    if strings < COMPILED_FROM or not compiled.available():
        return _hash_by_python
    from mlimages.labels.text_kernels import hash_spans

    def hash_compiled(strings: pa.Array) -> Hashes:
        offsets, data = string_buffers(strings)
        return hash_spans(data, offsets[:-1], offsets[1:])

    return hash_compiled


def _hash_by_python(strings: pa.Array) -> Hashes:
    values = strings.fill_null("").to_pylist()
    return np.fromiter(map(hash, values), np.int64, len(values)).view(np.uint64)


def string_buffers(strings: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """int32 [n + 1] offsets into the bytes, and the bytes, of a string array."""
    _, offsets, data = strings.buffers()
    if len(strings) == 0 or offsets is None:
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    places = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    held = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return places, held


def all_distinct(strings: pa.Array) -> bool:
    """Whether no string occurs twice."""
    if len(strings) >= COMPILED_FROM and compiled.available():
        hashes = np.sort(hash_function(len(strings))(strings))
        if not np.any(hashes[1:] == hashes[:-1]):
            return True
    return pc.count_distinct(strings).as_py() == len(strings)


class StringIndex:
    """String -> row, by open addressing.

    Args:
        hash_strings: see `hash_function`.
    """

    def __init__(self, hash_strings: Callable[[pa.Array], Hashes]) -> None:
        self._hash = hash_strings
        self._keys: Hashes = np.zeros(1 << 12, np.uint64)  # 0 is a free slot
        self._rows: Rows = np.zeros(1 << 12, np.int32)
        self._used = 0
        self._collided: dict[str, int] = {}

    def __len__(self) -> int:
        return self._used + len(self._collided)

    def find(self, strings: pa.Array) -> Rows:
        """The row of each string, or -1; a string that is not there may get another one's row."""
        hashes = self._hashes(strings)
        found = np.full(len(hashes), NONE)
        pending = np.arange(len(hashes))
        slots = self._slots(hashes)
        while len(pending):
            slot, wanted = slots[pending], hashes[pending]
            held = self._keys[slot]
            hit = held == wanted
            found[pending[hit]] = self._rows[slot[hit]]
            pending = pending[~hit & (held != 0)]
            slots[pending] = (slots[pending] + 1) % len(self._keys)
        if self._collided:
            for position in np.flatnonzero(found != NONE).tolist():
                found[position] = self._collided.get(strings[position].as_py(), found[position])
        return found

    def add(self, strings: pa.Array, rows: Rows) -> None:
        """Add strings that are not there."""
        needed = self._used + len(rows)
        if needed > MOST_LOAD * len(self._keys):
            self._grow(max(2 * len(self._keys), int(needed / MOST_LOAD) + 1))
        for position in self._insert(self._hashes(strings), rows).tolist():
            self._collided.setdefault(strings[position].as_py(), int(rows[position]))

    def _insert(self, hashes: Hashes, rows: Rows) -> NDArray[np.int64]:
        """Take free slots; the positions whose hash is there already."""
        collided = []
        pending = np.arange(len(hashes))
        slots = self._slots(hashes)
        while len(pending):
            slot, wanted = slots[pending], hashes[pending]
            held = self._keys[slot]
            collided.append(pending[held == wanted])
            free = held == 0
            taken, place = pending[free], slot[free]
            # Of several that want one slot, the last gets it; the others find it taken and go on.
            self._keys[place], self._rows[place] = hashes[taken], rows[taken]
            won = (self._keys[place] == hashes[taken]) & (self._rows[place] == rows[taken])
            self._used += int(np.count_nonzero(won))
            other = pending[~free & (held != wanted)]
            slots[other] = (slots[other] + 1) % len(self._keys)
            pending = np.concatenate([taken[~won], other])
        return np.concatenate(collided) if collided else np.empty(0, np.int64)

    def _grow(self, slots: int) -> None:
        keys, rows = self._keys, self._rows
        self._keys, self._rows, self._used = (
            np.zeros(slots, np.uint64),
            np.zeros(slots, np.int32),
            0,
        )
        for begin in range(0, len(keys), _SLICE):
            part = slice(begin, begin + _SLICE)
            live = keys[part] != 0
            self._insert(keys[part][live], rows[part][live])

    def _hashes(self, strings: pa.Array) -> Hashes:
        hashes = self._hash(strings)
        hashes[hashes == 0] = 1
        return hashes

    def _slots(self, hashes: Hashes) -> NDArray[np.int64]:
        """The first slot to look in: the high bits, scaled to the number of slots."""
        high = hashes >> np.uint64(32)
        return ((high * np.uint64(len(self._keys))) >> np.uint64(32)).astype(np.int64)
