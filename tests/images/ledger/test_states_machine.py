"""The ledger against a dictionary, through commits, broken commits, crashes and removals."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.images.ledger.stores import url_store

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger, writing
from mlimages.images.ledger.records import RECORD
from mlimages.images.ledger.work import RETRYABLE
from mlimages.labels.removals import add_removals, entry, undo_removals
from mlimages.store import Store

IMAGES = 7
PLACES = [
    ["http://a.org/0", "/local/0.jpg", "https://b.org/0", "http://c.org/0"][: row % 4 + 1]
    for row in range(IMAGES)
]
URLS = [
    (row, place)
    for row, places in enumerate(PLACES)
    for place, uri in enumerate(places)
    if uri.startswith("http")
]
# Pending, too, may be recorded: it asks for another try.
FAILURES = sorted(set(UrlState) - {UrlState.OK, UrlState.REMOVED})

urls = st.sampled_from(URLS)
failures = st.sampled_from(FAILURES)
some_urls = st.lists(urls, unique=True, min_size=1, max_size=4)

Key = tuple[int, int]
Value = tuple[UrlState, int]  # state, attempts


class BrokenError(Exception):
    pass


class LedgerMachine(RuleBasedStateMachine):
    """`committed` is what the table has to hold; `journals` what each journal adds to it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(writing, "COMPACT_FILES", 3)
        self.lock = self.stack.enter_context(ExitStack())
        self.folder = Path(tempfile.mkdtemp())
        self.committed: dict[Key, Value] = {}
        self.journals: list[list[tuple[Key, Value]]] = [[]]
        self.gone: set[int] = set()

    @initialize()
    def create(self) -> None:
        url_store(self.folder / "DB", PLACES, partition_rows=3)
        self.start()

    def start(self) -> None:
        self.store = Store.open(self.folder / "DB")
        self.lock.enter_context(self.store.writing("test"))
        self.ledger = Ledger.open(self.store)
        self.journals.append([])

    def stop(self) -> None:
        self.ledger.close()
        self.lock.close()

    def teardown(self) -> None:
        self.stop()
        self.stack.close()
        shutil.rmtree(self.folder)

    def expected(self) -> dict[Key, Value]:
        return self.committed | {key: value for j in self.journals for key, value in j}

    def next_value(self, key: Key, state: UrlState) -> Value:
        return state, self.expected().get(key, (None, 0))[1] + 1

    @rule(url=urls, state=failures)
    def record(self, url: Key, state: UrlState) -> None:
        self.journals[-1].append((url, self.next_value(url, state)))
        self.ledger.record(*url, state, status=state % 7)

    @rule(chosen=some_urls, data=st.data())
    def record_many(self, chosen: list[Key], data: st.DataObject) -> None:
        states = [data.draw(failures) for _ in chosen]
        new = [(url, self.next_value(url, s)) for url, s in zip(chosen, states, strict=True)]
        self.journals[-1].extend(new)
        self.ledger.record_many(*zip(*chosen, strict=True), states)

    @rule(chosen=some_urls, during=st.none() | urls, state=failures, breaks=st.booleans())
    def commit(self, chosen: list[Key], during: Key | None, state: UrlState, breaks: bool) -> None:
        before = self.expected()
        ok = {url: self.next_value(url, UrlState.OK) for url in chosen}
        self.journals.append([])
        try:
            with self.store.commit("test") as commit:
                half = len(chosen) // 2
                for part in (chosen[:half], chosen[half:]):
                    self.ledger.commit_ok(commit, [u[0] for u in part], [u[1] for u in part])
                if during is not None:
                    self.journals[-1].append((during, self.next_value(during, state)))
                    self.ledger.record(*during, state)
                assert all(
                    self.ledger.partitions()[row // 3].state[self.slot(row, place)]
                    == self.expected().get((row, place), (UrlState.PENDING, 0))[0]
                    for row, place in chosen
                ), "ok before the commit"
                if breaks:
                    raise BrokenError
        except BrokenError:
            return
        self.committed = before | ok
        self.journals = [self.journals[-1]]

    def slot(self, row: int, place: int) -> int:
        return self.ledger.partitions()[row // 3].slot(row, place)

    @rule()
    def fold(self) -> None:
        self.ledger.fold()
        self.committed, self.journals = self.expected(), [[]]

    @rule()
    def commit_of_another_command(self) -> None:
        with self.store.commit("other") as commit:
            commit.info["other"] = self.store.manifest.generation

    @rule()
    def reopen(self) -> None:
        self.stop()
        self.start()

    @rule(share=st.floats(0, 1))
    def crash_with_a_torn_journal(self, share: float) -> None:
        self.stop()
        if self.journals[-1]:
            path = max((self.folder / "DB" / "ledger").glob("journal-*.bin"))
            length = round(share * path.stat().st_size)
            path.write_bytes(path.read_bytes()[:length])
            whole = max(0, length // RECORD.itemsize - 1)
            self.journals[-1] = self.journals[-1][:whole]
        self.start()

    @rule(row=st.integers(0, IMAGES - 1))
    def remove_or_bring_back(self, row: int) -> None:
        change = undo_removals if row in self.gone else add_removals
        with self.store.commit("remove") as commit:
            change(commit, [entry("id", f"image-{row}")])
        self.gone ^= {row}
        self.stop()
        self.start()

    @rule(retry=st.booleans())
    def work_is_what_can_succeed(self, retry: bool) -> None:
        wanted = {UrlState.PENDING, *(RETRYABLE if retry else ())}
        states = {url: self.expected().get(url, (UrlState.PENDING, 0))[0] for url in URLS}
        have = {row for (row, _), state in states.items() if state is UrlState.OK} | self.gone
        expected = [url for url, state in states.items() if state in wanted and url[0] not in have]
        found = [
            (record["row"], place)
            for work in self.ledger.to_try(RETRYABLE if retry else (), block_rows=2)
            for record, places in work.entries()
            for place in places
        ]
        assert found == expected

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        expected = self.expected()
        states = {
            url: UrlState.REMOVED
            if url[0] in self.gone
            else expected.get(url, (UrlState.PENDING, 0))[0]
            for url in URLS
        }
        reader = Ledger.open(Store.open(self.folder / "DB"))
        for ledger in (self.ledger, reader):
            assert {url: ledger.state_of(*url) for url in URLS} == states
            counts = ledger.counts()
            assert sum(counts.values()) == len(ledger) == len(URLS)
            assert +Counter(counts) == Counter(states.values())
            for row, place in URLS:
                part = ledger.partitions()[row // 3]
                attempts = part.attempts[part.slot(row, place)]
                assert attempts == expected.get((row, place), (None, 0))[1]


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
