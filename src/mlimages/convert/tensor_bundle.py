"""TensorFlow's checkpoints (form V2, "tensor bundles"), read and written without TensorFlow.

    PREFIX.index                  a sorted table: "" -> BundleHeaderProto, name -> BundleEntryProto
    PREFIX.data-00000-of-00001    the tensors' bytes, row by row

    BundleHeaderProto { num_shards = 1, endianness = 2 (0: little) , version = 3 }
    BundleEntryProto  { dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5,
                        crc32c = 6 (fixed32, masked), slices = 7 }
    TensorShapeProto  { dim = 2 { size = 1 }, unknown_rank = 3 }

(tensorflow/core/protobuf/tensor_bundle.proto.) The graph, PREFIX.meta, is not needed: it is never
opened, so that a custom operation in it does no harm. Files come from strangers: lengths are held
against the files before anything is allocated, and every tensor against its checksum.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mlimages.convert.sorted_table import MAXIMUM_BYTES, TableError, read_table, write_table
from mlimages.errors import CheckpointError
from mlimages.labels.crc32c import masked_crc32c
from mlimages.labels.protobuf import (
    LENGTH,
    VARINT,
    WireError,
    fields,
    signed,
    varint,
    write_fixed32,
    write_message,
    write_number,
)
from mlimages.storage import atomic_file

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    19: np.dtype("<f2"),
}
"""numpy types by their number in tensorflow/core/framework/types.proto."""
MAXIMUM_DIMENSIONS = 16
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
_PARTS = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_AGAIN = "download it again, all its files"


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies, and what it is.

    Attributes:
        dtype: number of its type; only those of DTYPES can be read.
        shape: its dimensions.
        shard: number of the data file.
        offset, size: of its bytes there.
        crc32c: masked, of these bytes.
        sliced: whether it was saved in pieces, which is not supported.
    """

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    sliced: bool = False


class TensorBundle:
    """A checkpoint, open for reading; the tensors' bytes are read one by one."""

    def __init__(self, prefix: Path | str) -> None:
        """Read the index.

        Args:
            prefix: path without `.index`; one of its files will do as well.

        Raises:
            CheckpointError: there is no such checkpoint, or its index is cut or damaged.
        """
        self.prefix = Path(_PARTS.sub("", str(prefix)))
        self.index = self.prefix.with_name(self.prefix.name + ".index")
        found = dict(self._read_index())
        try:
            self.num_shards = _read_header(found.pop(b"", b""))
            self.entries = {_name(key): _read_entry(value) for key, value in found.items()}
        except WireError as error:
            raise CheckpointError(self.index, f"damaged ({error})", _AGAIN) from None

    def read(self, name: str) -> np.ndarray:
        """A tensor, C-contiguous, of one of DTYPES.

        Raises:
            KeyError: there is no such tensor.
            CheckpointError: its bytes are missing, cut or damaged, or it is of another kind.
        """
        entry = self.entries[name]
        dtype = DTYPES.get(entry.dtype)
        if dtype is None or entry.sliced:
            what = "saved in slices" if entry.sliced else f"of type {entry.dtype}"
            raise CheckpointError(self.index, f"{name} is {what}", "convert it with TensorFlow")
        if entry.size != math.prod(entry.shape) * dtype.itemsize:
            cause = f"{name} says {entry.size:,} bytes, which its shape {entry.shape} has not"
            raise CheckpointError(self.index, cause, _AGAIN)
        path = self._shard(entry.shard)
        try:
            with open(path, "rb") as file:
                if entry.offset + entry.size > os.fstat(file.fileno()).st_size:
                    raise CheckpointError(path, f"cut off: {name} goes beyond its end", _AGAIN)
                file.seek(entry.offset)
                data = file.read(entry.size)
        except OSError as error:
            raise CheckpointError(path, f"cannot be read ({error.strerror})", _AGAIN) from None
        if masked_crc32c(data) != entry.crc32c:
            raise CheckpointError(path, f"damaged: the checksum of {name} differs", _AGAIN)
        return np.frombuffer(data, dtype).reshape(entry.shape)

    def _shard(self, number: int) -> Path:
        if not 0 <= number < self.num_shards:
            cause = f"names data file {number} of {self.num_shards}"
            raise CheckpointError(self.index, cause, _AGAIN)
        suffix = f".data-{number:05d}-of-{self.num_shards:05d}"
        return self.prefix.with_name(self.prefix.name + suffix)

    def _read_index(self) -> list[tuple[bytes, bytes]]:
        try:
            with open(self.index, "rb") as file:
                return list(read_table(file.read(MAXIMUM_BYTES + 1)))
        except FileNotFoundError:
            if self.prefix.is_file():
                cause = "an older form of checkpoint, a single file (V1), or none at all"
                raise CheckpointError(
                    self.prefix, cause, "save it again with TensorFlow 1.0 or later"
                ) from None
            raise CheckpointError(
                self.prefix, "no TensorFlow checkpoint (PREFIX.index is missing)", "name its prefix"
            ) from None
        except OSError as error:
            cause = f"cannot be read ({error.strerror})"
            raise CheckpointError(self.index, cause, "check the path") from None
        except TableError as error:
            raise CheckpointError(self.index, f"damaged ({error})", _AGAIN) from None


def write_bundle(prefix: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write PREFIX.data-00000-of-00001, then PREFIX.index; each appears whole or not at all.

    Raises:
        StorageError: the disk is full or not writable.
        ValueError: a tensor's type is none of DTYPES.
    """
    index = [(b"", write_number(1, 1) + write_message(3, write_number(1, 1)))]
    data = prefix.with_name(prefix.name + ".data-00000-of-00001")
    with atomic_file(data) as temporary, open(temporary, "wb") as file:
        for name in sorted(tensors, key=str.encode):
            index.append((name.encode(), _write_tensor(file, name, tensors[name])))
    with atomic_file(prefix.with_name(prefix.name + ".index")) as temporary:
        temporary.write_bytes(write_table(index))


def _write_tensor(file: BinaryIO, name: str, tensor: np.ndarray) -> bytes:
    number = _NUMBERS.get(tensor.dtype.newbyteorder("<"))
    if number is None:
        raise ValueError(f"{name}: type {tensor.dtype} cannot be saved")
    offset, data = file.tell(), tensor.astype(DTYPES[number]).tobytes()
    file.write(data)
    shape = b"".join(write_message(2, write_number(1, size)) for size in tensor.shape)
    return b"".join(
        (
            write_number(1, number),
            write_message(2, shape),
            write_number(4, offset),
            write_number(5, len(data)),
            write_fixed32(6, masked_crc32c(data)),
        )
    )


def _read_header(data: bytes) -> int:
    shards = 0
    for number, wire, start, stop in fields(data, 0, len(data)):
        if wire == VARINT and number in (1, 2):
            value, _ = varint(data, start, stop)
            if number == 2 and value != 0:
                raise WireError("its numbers are big-endian, which is not supported")
            shards = value if number == 1 else shards
    if not 1 <= shards <= 99_999:
        raise WireError(f"it says {shards} data files")
    return shards


def _read_entry(data: bytes) -> Entry:
    values = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    sliced = False
    for number, wire, start, stop in fields(data, 0, len(data)):
        if number in values and wire == VARINT:
            values[number], _ = varint(data, start, stop)
        elif number == 6:
            values[6] = int.from_bytes(data[start:stop], "little")
        elif number == 2 and wire == LENGTH:
            shape = _read_shape(data, start, stop)
        elif number == 7:
            sliced = True
    return Entry(values[1], shape, values[3], values[4], values[5], values[6], sliced)


def _read_shape(data: bytes, begin: int, end: int) -> tuple[int, ...]:
    sizes: list[int] = []
    for number, wire, start, stop in fields(data, begin, end):
        if number == 2 and wire == LENGTH:
            size = 0
            for inner, kind, at, behind in fields(data, start, stop):
                if inner == 1 and kind == VARINT:
                    size = signed(varint(data, at, behind)[0])
            sizes.append(size)
    if len(sizes) > MAXIMUM_DIMENSIONS or min(sizes, default=0) < 0:
        raise WireError(f"a tensor of shape {sizes[:MAXIMUM_DIMENSIONS]}")
    return tuple(sizes)


def _name(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
