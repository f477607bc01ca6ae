"""Tensor bundles: round trips, and one line for each way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlimages.convert.sorted_table import read_table, write_table
from mlimages.convert.tensor_bundle import DTYPES, TensorBundle, write_bundle
from mlimages.errors import CheckpointError
from mlimages.labels.protobuf import write_fixed32, write_message, write_number

TENSORS = {
    "global_step": np.array(7, np.int64),
    "logits/dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "ckpt", TENSORS)
    return tmp_path / "ckpt"


def index_of(prefix: Path) -> Path:
    return Path(f"{prefix}.index")


def data_of(prefix: Path) -> Path:
    return Path(f"{prefix}.data-00000-of-00001")


def rewrite(prefix: Path, name: bytes, value: bytes) -> None:
    entries = dict(read_table(index_of(prefix).read_bytes()))
    entries[name] = value
    index_of(prefix).write_bytes(write_table(sorted(entries.items())))


def entry(shape: tuple[int, ...] = (3, 4), **changed: int) -> bytes:
    values = {"dtype": 1, "shard": 0, "offset": 8, "size": 48, "crc": 0} | changed
    dimensions = b"".join(write_message(2, write_number(1, size)) for size in shape)
    return (
        write_number(1, values["dtype"])
        + write_message(2, dimensions)
        + write_number(3, values["shard"])
        + write_number(4, values["offset"])
        + write_number(5, values["size"])
        + write_fixed32(6, values["crc"])
    )


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.sampled_from(list(DTYPES.values())).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_side=4))
        ),
        max_size=5,
    )
)
@settings(max_examples=40)
def test_tensors_come_back(tmp_path_factory: pytest.TempPathFactory, tensors: dict) -> None:
    prefix = tmp_path_factory.mktemp("bundle") / "ckpt"
    write_bundle(prefix, tensors)
    bundle = TensorBundle(prefix)
    assert bundle.entries.keys() == tensors.keys()
    for name, tensor in tensors.items():
        found = bundle.read(name)
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert found.tobytes() == tensor.tobytes()


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_any_of_its_files_names_a_checkpoint(prefix: Path, suffix: str) -> None:
    assert TensorBundle(f"{prefix}{suffix}").read("global_step") == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (b"logits/dense/kernel", entry(size=1 << 60), "48, 12|says 1,152,921,504,606,846,976"),
        (b"logits/dense/kernel", entry((1 << 20, 1 << 40), size=1 << 62), "goes beyond its end"),
        (b"logits/dense/kernel", entry(offset=1 << 50), "goes beyond its end"),
        (b"logits/dense/kernel", entry(shard=3), "names data file 3 of 1"),
        (b"logits/dense/kernel", entry(dtype=7), "of type 7"),
        (b"logits/dense/kernel", entry(crc=1), "checksum of logits/dense/kernel differs"),
        (b"logits/dense/kernel", entry() + write_message(7, b""), "saved in slices"),
        (b"logits/dense/kernel", b"\x0a\xff", "damaged"),
        (b"logits/dense/kernel", entry((-1, 4)), "a tensor of shape"),
        (b"", write_number(1, 1) + write_number(2, 1), "big-endian"),
        (b"", b"", "says 0 data files"),
    ],
)
def test_a_lying_index_is_refused(prefix: Path, name: bytes, value: bytes, message: str) -> None:
    rewrite(prefix, name, value)
    with pytest.raises(CheckpointError, match=message):
        TensorBundle(prefix).read("logits/dense/kernel")


def test_a_cut_index_is_refused(prefix: Path) -> None:
    content = index_of(prefix).read_bytes()
    for length in range(0, len(content), 7):
        index_of(prefix).write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            TensorBundle(prefix)


def test_cut_or_missing_data_is_refused(prefix: Path) -> None:
    data = data_of(prefix).read_bytes()
    data_of(prefix).write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match="cut off"):
        TensorBundle(prefix).read("logits/dense/kernel")
    data_of(prefix).unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        TensorBundle(prefix).read("logits/dense/kernel")


def test_other_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no TensorFlow checkpoint"):
        TensorBundle(tmp_path / "nothing")
    (tmp_path / "old").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="V1"):
        TensorBundle(tmp_path / "old")
