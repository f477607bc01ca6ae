"""TFRecords as the release's own: one `tf.train.Example` an image, written without TensorFlow.

    image   bytes, the JPEG or PNG as it is packed
    label   bytes, float32[num_categories] little-endian: the confidence of each tag, 0 elsewhere
    width, height   int64
    name    bytes, ID.jpg

The dense label takes 44.7 kB an image with 11,166 categories. `sparse` replaces it by two lists,
`label_index` (int64) and `label_confidence` (float), which TensorFlow reads as VarLenFeature.
Framing: length (uint64), its masked CRC-32C, the record, its masked CRC-32C.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.labels.crc32c import masked_crc32c
from mlimages.labels.exports.files import SHARD_BYTES, Series, Writer
from mlimages.labels.exports.view import View
from mlimages.labels.protobuf import write_message, write_varint

CARRIES = frozenset({"ids", "splits", "confidences", "sizes"})
WITHOUT_BYTES = "{n} images whose bytes are not packed"


def write(
    view: View, folder: Path, *, sparse: bool = False, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write SPLIT-NNNNN.tfrecords into `folder`: the images whose bytes are packed.

    Args:
        view: with `read_image`.
        folder: an empty folder.
        sparse: write tags as two lists instead of one number a category.
        shard_bytes: size after which a file is closed.

    Raises:
        InputError: not one image is packed.
    """
    assert view.read_image is not None
    written = 0
    with Series(folder, "tfrecords", shard_bytes, RecordWriter) as series:
        for block in view.blocks("records"):
            for i, (record, (begin, end)) in enumerate(
                zip(block.records(), block.ranges(), strict=True)
            ):
                found = view.read_image(record["row"])
                if found is None:
                    view.lose(WITHOUT_BYTES)
                    continue
                tags = slice(begin, end)
                categories, confidences = block.tags.categories[tags], block.tags.confidences[tags]
                label = (
                    _sparse(categories, confidences)
                    if sparse
                    else _dense(categories, confidences, len(view.taxonomy))
                )
                features = {
                    "height": _integers([found.height]),
                    "image": _bytes(found.data),
                    **label,
                    "name": _bytes(f"{record['id']}.{found.suffix}".encode()),
                    "width": _integers([found.width]),
                }
                writer = series.writer(block.splits[i])
                assert isinstance(writer, RecordWriter)
                writer.add(example(features))
                written += 1
    if not written:
        raise InputError(view.store.root, "none of its images is packed", "run: mlimages pack DB")


class RecordWriter(Writer):
    """A TFRecord file."""

    def add(self, record: bytes) -> None:
        """Append a record with its framing."""
        length = struct.pack("<Q", len(record))
        self.file.write(length + struct.pack("<I", masked_crc32c(length)))
        self.file.write(record)
        self.file.write(struct.pack("<I", masked_crc32c(record)))


def example(features: dict[str, bytes]) -> bytes:
    """A serialized tf.train.Example: features by name, each a serialized tf.train.Feature."""
    entries = []
    for name in sorted(features):
        entry = write_message(1, name.encode()) + write_message(2, features[name])
        entries.append(write_message(1, entry))
    return write_message(1, b"".join(entries))


def _dense(categories: np.ndarray, confidences: np.ndarray, size: int) -> dict[str, bytes]:
    label = np.zeros(size, dtype="<f4")
    label[categories] = confidences
    return {"label": _bytes(label.tobytes())}


def _sparse(categories: np.ndarray, confidences: np.ndarray) -> dict[str, bytes]:
    packed = write_message(1, confidences.astype("<f4").tobytes())
    return {
        "label_confidence": write_message(2, packed),
        "label_index": _integers(categories.tolist()),
    }


def _bytes(value: bytes) -> bytes:
    """A Feature that is a BytesList of one value."""
    return write_message(1, write_message(1, value))


def _integers(values: list[int]) -> bytes:
    """A Feature that is an Int64List, packed."""
    return write_message(3, write_message(1, b"".join(map(write_varint, values))))
