"""New facts on their way into a database: collected by partition, and none said twice."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.intake.background import BackgroundCommit
from mlimages.schemas import FACT_KINDS, FACTS

MOST_HELD = 10_000_000  # facts in memory, about 25 bytes each


class FactIntake:
    """Facts of one source.

    Args:
        writing: the generation in the making.
        source: that says them.

    Attributes:
        count: number of facts that were new.
    """

    def __init__(self, writing: BackgroundCommit, source: str) -> None:
        self._writing, self._source = writing, source
        self._fresh: defaultdict[int, list[pa.Table]] = defaultdict(list)  # by partition
        self._repeats: defaultdict[int, list[pa.Table]] = defaultdict(list)  # perhaps said before
        self._held: defaultdict[int, int] = defaultdict(int)
        self.count = 0

    def add(
        self, found: pa.Table, row_of: NDArray[np.int32], may_repeat: NDArray[np.bool_]
    ) -> None:
        """Take in the facts of a reading.

        Args:
            found: READING_FACTS.
            row_of: int32 [images], negative for an image that was not kept.
            may_repeat: bool [images], whether the source may have said the same before.
        """
        image = found["image"].to_numpy()
        rows, repeats = row_of[image], may_repeat[image]
        source = pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(len(rows), np.int32)), [self._source]
        )
        columns = {name: found[name] for name in ("category", "present", "confidence", "kind")}
        table = pa.table(
            {
                name: {"row": pa.array(rows), "source": source, **columns}[name]
                for name in FACTS.names
            }
        )
        numbers = rows // self._writing.partition_rows  # negative where not kept
        for number in np.unique(numbers[rows >= 0]).tolist():
            here = numbers == number
            for held, chosen in ((self._fresh, here & ~repeats), (self._repeats, here & repeats)):
                size = int(np.count_nonzero(chosen))
                if size:
                    part = table if size == len(rows) else table.filter(pa.array(chosen))
                    held[number].append(part)
                    self._held[number] += size
        while sum(self._held.values()) > MOST_HELD:
            self.write(max(self._held, key=self._held.__getitem__))

    def flush(self) -> None:
        """Write all facts."""
        for number in sorted(self._held):
            self.write(number)

    def write(self, number: int) -> None:
        """Write the facts of one partition."""
        self._held.pop(number, None)
        fresh = _concatenated(self._fresh.pop(number, []))
        repeats = _concatenated(self._repeats.pop(number, []))
        if repeats.num_rows:
            touched = _touched(repeats)
            said = self._writing.table("facts", partition=number)
            said = said.filter(pc.equal(said["source"], self._source))
            said = pa.concat_tables([_about(said, touched), _about(fresh, touched)])
            repeats = repeats.filter(pa.array(_unsaid(said, repeats)))
        new = _concatenated([fresh, repeats])
        self.count += new.num_rows
        if new.num_rows:
            self._writing.append("facts", new, number)


def _concatenated(tables: list[pa.Table]) -> pa.Table:
    full = [table for table in tables if table.num_rows]
    return pa.concat_tables(full) if full else FACTS.empty_table()


def _touched(facts: pa.Table) -> NDArray[np.int32]:
    return np.unique(facts["row"].to_numpy())


def _about(facts: pa.Table, rows: NDArray[np.int32]) -> pa.Table:
    """The facts about some images."""
    return facts.filter(pa.array(np.isin(facts["row"].to_numpy(), rows)))


def _unsaid(said: pa.Table, again: pa.Table) -> NDArray[np.bool_]:
    """bool [again]: which facts of a source are neither among those said, nor earlier in again."""
    keys = np.concatenate([_keys(said), _keys(again)])
    confidences = np.concatenate(
        [table["confidence"].to_numpy().view(np.uint32) for table in (said, again)]
    )
    order = np.lexsort((confidences, keys))  # stable: what was said first comes first
    keys, confidences = keys[order], confidences[order]
    repeated = np.zeros(len(keys), bool)
    repeated[order[1:]] = (keys[1:] == keys[:-1]) & (confidences[1:] == confidences[:-1])
    return ~repeated[said.num_rows :]


def _keys(facts: pa.Table) -> NDArray[np.int64]:
    """Row, category, present and kind as one number."""
    kinds = np.concatenate([np.empty(0, np.int64), *map(_kind_numbers, facts["kind"].chunks)])
    keys = facts["row"].to_numpy().astype(np.int64) << 32
    keys |= facts["category"].to_numpy().astype(np.int64) << 4
    keys |= facts["present"].to_numpy().astype(np.int64) << 3
    return keys | kinds


def _kind_numbers(kinds: pa.DictionaryArray) -> NDArray[np.int64]:
    number_of = np.array(
        [FACT_KINDS.index(kind) for kind in kinds.dictionary.to_pylist()], np.int64
    )
    return number_of[kinds.indices.to_numpy()]
