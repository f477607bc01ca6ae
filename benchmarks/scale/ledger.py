"""A ledger of 17.6 million URLs: opened, reported, written to, compacted, each in its own process.

URLs are of 20,000 hosts and drawn states; two thirds of them were tried. `open_unkept` is the first
opening of a new database, before a commit has kept the hosts of its URLs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger, writing
from mlimages.images.ledger.report import report_ledger
from mlimages.images.ledger.survivors import count_survivors
from mlimages.schemas import IMAGES, LEDGER, SHARD_INDEX, TAGS
from mlimages.store import Commit, Store
from mlimages.taxonomy.categories import released_taxonomy

URLS = {False: 17_609_752, True: 1_100_000}
HOSTS = 20_000
TAGS_OF_AN_IMAGE = 9
SINGLE_RECORDS, RECORDS = 100_000, 1_000_000
STEPS = ("open_unkept", "compact", "open", "report", "survivors", "record", "replay", "fold")


def measure(quick: bool) -> dict:
    """Build a database of URLs, then time each step in a fresh process.

    Returns:
        seconds and peak_gb of each step (those of `report` are of opening and reporting), and
        notes: how many URLs, records a second of the journal, bytes of the table.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from harness import watched

    result: dict = {"seconds": {}, "peak_gb": {}, "notes": {"urls": URLS[quick], "hosts": HOSTS}}
    with tempfile.TemporaryDirectory(prefix="mlimages-ledger-") as folder:
        root = Path(folder, "DB")
        build(root, URLS[quick])
        for step in STEPS:
            output, _, peak = watched([sys.executable, __file__, step, str(root)], Path(folder))
            done = json.loads(output)
            result["seconds"][f"ledger_{step}"] = done.pop("seconds")
            result["peak_gb"][f"ledger_{step}"] = peak
            result["notes"] |= done
    return result


def build(root: Path, urls: int) -> None:
    """Images, tags, an index of shards and a ledger, drawn partition by partition."""
    generator = np.random.default_rng(0)
    store = Store.create(root)
    with store.commit("benchmark") as commit:
        size = commit.manifest.partition_rows
        for first in range(0, urls, size):
            _add_partition(commit, first, min(size, urls - first), generator)


def _add_partition(commit: Commit, first: int, count: int, generator: np.random.Generator) -> None:
    number = first // commit.manifest.partition_rows
    rows = pa.array(np.arange(first, first + count, dtype=np.int32))
    ends = pa.array(np.arange(count + 1, dtype=np.int32))
    names = _texts(b"%09d", np.arange(first, first + count))
    columns = {field.name: pa.nulls(count, field.type) for field in IMAGES}
    sources = pa.array(["drawn"]).take(pa.array(np.zeros(count, np.int8)))
    columns |= {
        "row": rows,
        "id": names,
        "sources": pa.ListArray.from_arrays(ends, sources),
        "uris": pa.ListArray.from_arrays(ends, _urls(first, count, generator)),
    }
    commit.append("images", pa.table(columns, schema=IMAGES), number)
    tried = np.flatnonzero(generator.random(count) < 2 / 3)
    failures = [state for state in UrlState if state not in (UrlState.OK, UrlState.REMOVED)]
    state = np.where(
        generator.random(len(tried)) < 0.7, UrlState.OK, generator.choice(failures, len(tried))
    )
    told = (tried + first, 0 * tried, state, 200 + 0 * tried, 1 + 0 * tried, tried + 1_700_000_000)
    arrays = [
        pa.array(c.astype(f.type.to_pandas_dtype())) for c, f in zip(told, LEDGER, strict=True)
    ]
    commit.append("ledger", pa.table(arrays, schema=LEDGER), number)
    packed = tried[state == UrlState.OK] + first
    zeros = np.zeros(len(packed), np.int64)
    index = {f.name: pa.array(zeros.astype(f.type.to_pandas_dtype())) for f in SHARD_INDEX}
    index["row"] = pa.array(packed.astype(np.int32))
    commit.append("shards/index", pa.table(index, schema=SHARD_INDEX), number)
    _add_tags(commit, number, rows, generator)


def _add_tags(commit: Commit, number: int, rows: pa.Array, generator: np.random.Generator) -> None:
    """Categories by Zipf's law, nine an image."""
    count, categories = len(rows), len(released_taxonomy())
    drawn = (categories ** generator.random(count * TAGS_OF_AN_IMAGE)).astype(np.int32) - 1
    ends = pa.array(np.arange(count + 1, dtype=np.int32) * TAGS_OF_AN_IMAGE)
    flat = {
        "categories": drawn,
        "confidences": np.ones(len(drawn), np.float32),
        "reasons": np.zeros(len(drawn), np.int8),
        "because": drawn,
    }
    lists = {n: pa.ListArray.from_arrays(ends, pa.array(values)) for n, values in flat.items()}
    commit.append("tags", pa.table({"row": rows, **lists}, schema=TAGS), number)


def _urls(first: int, count: int, generator: np.random.Generator) -> pa.Array:
    """URLs of equal length, as bytes of a matrix."""
    pattern = b"https://h00000.example.org/0000/000000000_0000000000_o.jpg"
    text = np.tile(np.frombuffer(pattern, np.uint8), (count, 1))
    hosts = (HOSTS ** generator.random(count)).astype(np.int64) - 1
    for begin, digits, values in (
        (9, 5, hosts),
        (27, 4, generator.integers(0, 10**4, count)),
        (32, 9, np.arange(first, first + count)),
        (42, 10, generator.integers(0, 10**10, count)),
    ):
        _write_digits(text[:, begin : begin + digits], values)
    return _strings(text)


def _texts(pattern: bytes, values: np.ndarray) -> pa.Array:
    text = np.zeros((len(values), len(pattern % 0)), np.uint8)
    _write_digits(text, values)
    return _strings(text)


def _write_digits(text: np.ndarray, values: np.ndarray) -> None:
    for place in range(text.shape[1] - 1, -1, -1):
        values, digit = np.divmod(values, 10)
        text[:, place] = digit + ord("0")


def _strings(text: np.ndarray) -> pa.Array:
    ends = np.arange(len(text) + 1, dtype=np.int32) * text.shape[1]
    return pa.StringArray.from_buffers(
        len(text), pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(text))
    )


def private_gb() -> float:
    """Memory that only this process holds, in 1e9 bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / 1e9


def run(step: str, root: Path) -> dict:
    """One step; its seconds, and what else it tells."""
    start = time.perf_counter()
    store = Store.open(root)
    if step == "survivors":
        count_survivors(store, released_taxonomy())
        return {"seconds": time.perf_counter() - start}
    if step in ("open_unkept", "open", "report"):
        ledger = Ledger.open(store)
        opened = time.perf_counter() - start
        told: dict = {f"{step}_private_gb": private_gb()}
        if step == "report":
            report_ledger(ledger)
            told["report_alone_seconds"] = time.perf_counter() - start - opened
            told["report_private_gb"] = private_gb()
        return {"seconds": time.perf_counter() - start, **told}
    with store.writing("benchmark"):
        ledger = Ledger.open(store)
        start = time.perf_counter() if step != "replay" else start
        if step == "record":
            return _record(ledger, store.num_rows("images"))
        if step == "replay":  # opening read what `record` left
            seconds = time.perf_counter() - start
            return {"seconds": seconds, "replayed_records": ledger.journalled}
        if step == "compact":  # the first commit, which keeps the hosts as well
            writing.COMPACT_FILES = 1
            ledger.record_many(*_everywhere(store), UrlState.TIMEOUT)
        ledger.fold()
        return {"seconds": time.perf_counter() - start}


def _everywhere(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """A URL of every partition."""
    rows = np.array(store.partitions("images")) * store.manifest.partition_rows
    return rows, np.zeros_like(rows)


def _record(ledger: Ledger, images: int) -> dict:
    """Records one by one and many at once."""
    generator = np.random.default_rng(1)
    rows = generator.integers(0, images, SINGLE_RECORDS).tolist()
    start = time.perf_counter()
    for row in rows:
        ledger.record(row, 0, UrlState.TIMEOUT)
    single = time.perf_counter() - start
    many = generator.choice(images, RECORDS, replace=False)
    ledger.record_many(many, np.zeros_like(many), np.full(RECORDS, UrlState.GONE), 404)
    seconds = time.perf_counter() - start
    ledger.close()
    return {
        "seconds": seconds,
        "records_a_second_single": SINGLE_RECORDS / single,
        "records_a_second_many": RECORDS / (seconds - single),
    }


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
    else:
        print(json.dumps(measure("--quick" in sys.argv), indent=1))
