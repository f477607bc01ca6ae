from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import REPOSITORY
from tests.images.ledger.stores import url_store
from tests.object_store import served_bucket

from mlimages.errors import DatabaseError, StorageError
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger
from mlimages.images.ledger.journal import journal_numbers, read_journals
from mlimages.images.ledger.records import MAGIC, RECORD, decode, encode, encode_many
from mlimages.store import Store

rows = st.integers(0, 2**31 - 1)
octets = st.integers(0, 255)
records = st.tuples(
    rows, octets, octets, st.integers(-(2**15), 2**15 - 1), octets, st.integers(0, 2**32 - 1)
)
FIELDS = ("row", "candidate", "state", "status", "attempts", "when")


@given(st.lists(records, max_size=20))
def test_records_written_one_by_one_or_together_are_the_same_bytes(
    values: list[tuple[int, ...]],
) -> None:
    single = b"".join(encode(*value) for value in values)
    together = np.zeros(len(values), RECORD)
    for place, value in enumerate(values):
        for name, item in zip(FIELDS, value, strict=True):
            together[name][place] = item
    assert encode_many(together) == single
    assert [tuple(r[name] for name in FIELDS) for r in decode(MAGIC + single)] == values
    assert all(
        zlib.crc32(single[at : at + 16]).to_bytes(4, "little") == single[at + 16 : at + 20]
        for at in range(0, len(single), 20)
    )


@given(st.lists(records, min_size=1, max_size=6), st.data())
def test_a_journal_cut_at_any_byte_keeps_its_whole_records(
    values: list[tuple[int, ...]], data: st.DataObject
) -> None:
    whole = MAGIC + b"".join(encode(*value) for value in values)
    cut = data.draw(st.integers(0, len(whole)))
    kept = max(0, cut // RECORD.itemsize - 1)
    # A power cut may also leave a hole of zeros where the rest was to be.
    for torn in (whole[:cut], whole[:cut] + bytes(len(whole) - cut)):
        found = [tuple(r[name] for name in FIELDS) for r in decode(torn)]
        assert found == values[: len(found)]
        assert len(found) >= kept
        assert len(found) <= kept or whole[cut:] == bytes(len(whole) - cut)


def test_a_flipped_bit_costs_one_record() -> None:
    data = bytearray(MAGIC + b"".join(encode(row, 0, 12, 0, 1, 5) for row in range(3)))
    data[len(MAGIC) + RECORD.itemsize + 2] ^= 8
    assert decode(bytes(data))["row"].tolist() == [0, 2]


CHILD = """
import sys
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger
from mlimages.store import Store
store = Store.open(sys.argv[1])
with store.writing("test"):
    ledger = Ledger.open(store)
    for number in range(10**6):
        row = number % 12
        if number % 5 == 4:
            with store.commit("test") as commit:
                ledger.commit_ok(commit, [row], [0])
            print(row, "ok", flush=True)
        else:
            ledger.record(row, 0, UrlState.TIMEOUT)
            print(row, "timeout", flush=True)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_sigkill_loses_nothing_that_was_recorded(tmp_path: Path, kills: int) -> None:
    url_store(tmp_path / "DB", [[f"http://a.org/{row}"] for row in range(12)])
    chance = random.Random(kills)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    expected = dict.fromkeys(range(12), UrlState.PENDING)
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "DB")],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(chance.randrange(1, 60))]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        whole = [line.split() for line in lines if line.endswith("\n")]
        expected |= {int(row): UrlState[state.upper()] for row, state in whole}
        ledger = Ledger.open(Store.open(tmp_path / "DB"))
        # The child may have come one step further than it could say.
        after = (int(whole[-1][0]) + 1) % 12
        for row, state in expected.items():
            found = ledger.state_of(row, 0)
            assert found is state or row == after, (row, found, state)
        expected[after] = ledger.state_of(after, 0)
        assert sum(ledger.counts().values()) == 12


def test_a_full_disk_leaves_the_journal_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = url_store(tmp_path / "DB", [["http://a.org/0", "http://a.org/1"]])
    real, room = os.write, [30]

    def write(file: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(file, bytes(data)[: room[0]])
        room[0] -= done
        return done

    with store.writing("test"):
        ledger = Ledger.open(store)
        ledger.record(0, 0, UrlState.DNS)
        monkeypatch.setattr(os, "write", write)
        ledger.record(0, 0, UrlState.TIMEOUT)
        with pytest.raises(StorageError, match="no space left"):
            ledger.record(0, 1, UrlState.REFUSED)  # 10 of its 20 bytes find a place
        assert ledger.state_of(0, 1) is UrlState.PENDING
        room[0] = 1000
        ledger.record(0, 1, UrlState.GONE, 404)
        monkeypatch.setattr(os, "write", real)
        ledger.close()
    ledger = Ledger.open(Store.open(tmp_path / "DB"))
    assert [ledger.state_of(0, place) for place in (0, 1)] == [UrlState.TIMEOUT, UrlState.GONE]


def test_only_the_holder_of_the_lock_writes(tmp_path: Path) -> None:
    store = url_store(tmp_path / "DB", [["http://a.org/0"]])
    with store.writing("test"):
        with (
            pytest.raises(DatabaseError, match="locked by process"),
            Store.open(tmp_path / "DB").writing("other"),
        ):
            pass
        other = Ledger.open(Store.open(tmp_path / "DB"))
        with pytest.raises(DatabaseError, match="not open for writing"):
            other.record(0, 0, UrlState.DNS)
    assert journal_numbers(tmp_path / "DB") == []


def test_a_reader_that_meets_a_commit_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = url_store(tmp_path / "DB", [["http://a.org/0"], ["http://a.org/1"]])
    with store.writing("test"):
        ledger = Ledger.open(store)
        ledger.record(0, 0, UrlState.DNS)
        reader = Store.open(tmp_path / "DB")
        commits = [lambda: ledger.fold()]

        def read(root: Path, after: int) -> np.ndarray:
            if commits:  # the journal is folded and gone just before it is read
                commits.pop()()
                ledger.record(1, 0, UrlState.GONE)
            return read_journals(root, after)

        monkeypatch.setattr("mlimages.images.ledger.loading.read_journals", read)
        seen = Ledger.open(reader)
        assert [seen.state_of(row, 0) for row in (0, 1)] == [UrlState.DNS, UrlState.GONE]


def test_in_an_object_store_the_journal_is_small_objects(tmp_path: Path) -> None:
    with served_bucket() as bucket:
        store = url_store(f"{bucket}/DB", [["http://a.org/0", "http://a.org/1"], ["http://b.org/"]])
        with store.writing("test"):
            ledger = Ledger.open(store)
            ledger.record(0, 0, UrlState.DNS)
            ledger.sync()
            ledger.record(0, 1, UrlState.GONE)
            ledger.sync()
            names = sorted(path.name for path in (store.root / "ledger").iterdir())
            assert names == ["journal-000001-000000.bin", "journal-000001-000001.bin"]
            reader = Ledger.open(Store.open(f"{bucket}/DB"))
            assert [reader.state_of(0, place) for place in (0, 1)] == [UrlState.DNS, UrlState.GONE]
            with store.commit("test") as commit:
                ledger.commit_ok(commit, [1], [0])
            assert ledger.state_of(1, 0) is UrlState.OK
            assert journal_numbers(store.root) == []
        assert Ledger.open(Store.open(f"{bucket}/DB")).counts()[UrlState.OK] == 1
