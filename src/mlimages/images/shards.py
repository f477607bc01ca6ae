"""Random access to packed images: one positioned read an image, its checksum verified."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pyarrow as pa

from mlimages.errors import DatabaseError
from mlimages.images.decoding import decode
from mlimages.images.files import OpenFiles
from mlimages.images.packing.writer import shard_name
from mlimages.images.shard_cache import ShardCache
from mlimages.labels.lookup import removed
from mlimages.storage import located, service_errors

if TYPE_CHECKING:
    from mlimages.storage import AnyPath
    from mlimages.store import Store

_LAST_ROW = np.iinfo(np.int32).max
_AGAIN = "restore it from a copy, or run: mlimages shards repair DB"


class ShardReader:
    """The images of a directory of shards, by row.

    Reads share nothing but open files, and carry their own position: threads may use one reader,
    a forked process may go on with its parent's, and a pickled one opens its files anew.
    """

    def __init__(
        self, directory: AnyPath | str, index: pa.Table, cache: ShardCache | None = None
    ) -> None:
        """Take the index in; opens no file yet.

        Args:
            directory: of NNNNNN.tar.
            index: schemas.SHARD_INDEX.
            cache: keeps on this machine what is read of shards in an object store.

        Raises:
            DatabaseError: a row occurs twice in the index.
        """
        self.directory = located(directory)
        rows = _column(index, "row")
        order = None
        if not np.all(rows[1:] > rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
            twice = rows[1:][rows[1:] == rows[:-1]]
            if len(twice):
                raise DatabaseError(
                    self.directory, f"row {twice[0]} is in two places", "run: mlimages check"
                )
        self.rows = rows  # int32 [images], ascending
        names = ("shard", "offset", "length", "crc32")
        columns = (_column(index, name) for name in names)
        self._shard, self._offset, self._length, self._crc32 = (
            column if order is None else column[order] for column in columns
        )
        self._files = OpenFiles()
        self._cache = cache if self.remote else None

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, int | np.integer) and self._find(int(row)) is not None

    @property
    def remote(self) -> bool:
        """Whether the shards are in an object store."""
        return not isinstance(self.directory, Path)

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shard and offset of each of some rows.

        Raises:
            KeyError: a row is in no shard.
        """
        if np.array_equal(rows, self.rows):  # a split of all images, millions perhaps
            return self._shard, self._offset
        positions = np.searchsorted(self.rows, rows.astype(self.rows.dtype, copy=False))
        positions = np.minimum(positions, len(self.rows) - 1)
        missing = rows[self.rows[positions] != rows] if len(self.rows) else rows
        if len(missing):
            raise KeyError(int(missing[0]))
        return self._shard[positions], self._offset[positions]

    def read(self, row: int) -> bytes:
        """The stored bytes of an image.

        Raises:
            KeyError: the row is in no shard.
            DatabaseError: its shard is missing, cut short or damaged.
        """
        position = self._find(row)
        if position is None:
            raise KeyError(row)
        path = self.directory / shard_name(int(self._shard[position]))
        offset, length = int(self._offset[position]), int(self._length[position])
        try:
            with service_errors(path):
                data = self._stored(path, position)
        except FileNotFoundError:
            raise DatabaseError(path, "shard is missing", _AGAIN) from None
        except OSError as error:
            raise DatabaseError(
                path, f"cannot be read ({error.strerror or error})", _AGAIN
            ) from None
        if len(data) != length or zlib.crc32(data) != self._crc32[position]:
            self._complain(path, row, offset, short=len(data) != length)
        return data

    def checksums(self, rows: np.ndarray) -> np.ndarray:
        """uint32 [rows]: the CRC-32 of the stored bytes of images, all of which must be packed."""
        return self._crc32[np.searchsorted(self.rows, rows.astype(self.rows.dtype, copy=False))]

    def _stored(self, path: AnyPath, position: int) -> bytes:
        """What is at an image's place, whether it is right or not."""
        offset, length = int(self._offset[position]), int(self._length[position])
        file = self._files.get(path)
        if self._cache is None:
            return file.read(offset, length)
        data = self._cache.read(str(path), file, offset, length)
        if len(data) != length or zlib.crc32(data) != self._crc32[position]:
            # The copy here may be damaged, or that of a shard which has since been replaced.
            self._cache.forget(str(path), offset, length)
            data = self._cache.read(str(path), file, offset, length)
        return data

    def image(self, row: int, minimum_side: int | None = None) -> np.ndarray:
        """Decode an image to RGB uint8 [height, width, 3]; see `decoding.decode`.

        Raises:
            KeyError: the row is in no shard.
            DatabaseError: its shard is missing, cut short or damaged.
        """
        return decode(self.read(row), minimum_side=minimum_side)

    def _find(self, row: int) -> int | None:
        if not 0 <= row <= _LAST_ROW:
            return None
        # A number of another type than the array's would have all of the array converted.
        position = int(self.rows.searchsorted(self.rows.dtype.type(row)))
        found = position < len(self.rows) and self.rows[position] == row
        return position if found else None

    def _complain(self, path: AnyPath, row: int, offset: int, short: bool) -> NoReturn:
        # The index has no ids, but the member's header in the shard does, if it is intact.
        try:
            header = self._files.get(path).read(offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE)
            name = tarfile.TarInfo.frombuf(header, "utf-8", "replace").name
            image = f"image {name.partition('.')[0]} (row {row})"
        except (OSError, tarfile.TarError):
            image = f"the image of row {row}"
        cause = "is cut short" if short else "fails its checksum"
        raise DatabaseError(path, f"{image} {cause}", _AGAIN)


def open_reader(
    store: Store, *, with_removed: bool = False, cache: ShardCache | None = None
) -> ShardReader:
    """The packed images of a database.

    Args:
        store: of the database.
        with_removed: also those removed on request, whose bytes stay until shards are rewritten.
            That is for comparing them with others, and never for showing or training.
        cache: keeps on this machine what is read of shards in an object store.
    """
    index = store.table("shards/index")
    if not with_removed:
        gone = removed(store)
        if gone.any():
            index = index.filter(pa.array(~gone[index["row"].to_numpy()]))
    return ShardReader(store.root / "shards", index, cache)


def _column(index: pa.Table, name: str) -> np.ndarray:
    return index.column(name).combine_chunks().to_numpy(zero_copy_only=False)
