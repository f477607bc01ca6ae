"""Readings merged in chunks, partition by partition, against merging all images at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.labels.reference_merging import PlainDatabase
from tests.labels.tiny import TAXONOMY

from mlimages.checking import facts_fingerprint
from mlimages.database import Database
from mlimages.errors import InputError
from mlimages.labels.intake import fact_intake, held_images
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.streams import Readings, joined, require_images
from mlimages.store import Store


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Hundreds of small databases need not outlast a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlimages.storage.sync", lambda path: None)
        yield


@dataclass(frozen=True)
class Entry:
    """One image of a source's list."""

    name: str
    uri: str | None
    listed: str | None
    categories: tuple[int, ...]
    author: str | None = None


@st.composite
def imports(draw: st.DrawFn) -> tuple[str, list[Entry], list[int]]:
    """A source, its entries of few places that many share, and where they are cut into chunks.

    A place has one name in an import, and another import may have another name for it.
    """
    kind = draw(st.sampled_from(["url", "path", "either", "none"]))
    urls = [f"https://{host}/{n}.jpg" for host in "ab" for n in "xyZ"]
    paths = [f"/{folder}/{n}.jpg" for folder in "pq" for n in "xyZ"]
    places = {"url": urls, "path": paths, "either": urls + paths, "none": paths}[kind]
    names = st.sampled_from(["x", "y", "z", "Not safe"])
    name_of = draw(st.fixed_dictionaries(dict.fromkeys(places, names)))
    listed = []
    for place in draw(st.lists(st.sampled_from(places), max_size=8)):
        uri, at = (None, place) if kind == "none" else (place, None)
        categories = draw(st.lists(st.integers(0, 5), max_size=3, unique=True))
        author = draw(st.sampled_from([None, "ann", "bob"]))
        listed.append(Entry(name_of[place], uri, at, tuple(categories), author))
    cuts = draw(st.lists(st.integers(0, len(listed)), max_size=4).map(sorted))
    return draw(st.sampled_from(["first", "second"])), listed, cuts


def read(source: str, listed: list[Entry], first: int = 0) -> Reading:
    builder = ReadingBuilder(source, "table")
    for line, entry in enumerate(listed, first):
        image = builder.add_image(
            f"list:{line}", entry.uri, entry.name, place=entry.listed, author=entry.author
        )
        for category in entry.categories if image is not None else ():
            builder.add_fact(image, category, 0.5)  # type: ignore[arg-type]
    return builder.build()


def stream(source: str, listed: list[Entry], cuts: list[int]) -> Iterator[Reading]:
    for begin, end in zip([0, *cuts], [*cuts, len(listed)], strict=True):
        yield read(source, listed[begin:end], begin)


def merged(folder: str, *all_readings: Readings, partition_rows: int = 3) -> Database:
    database = Database.create(Path(folder) / "DB", TAXONOMY, partition_rows)
    for readings in all_readings:
        database.add(readings)
    return database


def content(store: Store) -> tuple[list, list, list, set]:
    """Images, splits and facts as Python values, and what was rejected where."""
    facts = [tuple(fact.values()) for fact in store.table("facts").to_pylist()]
    assert len(set(facts)) == len(facts)
    splits = {row["row"]: row["split"] for row in store.table("splits").to_pylist()}
    images = sorted(store.table("images").to_pylist(), key=lambda image: image["row"])
    rejects = {row["location"] for row in store.table("rejects").to_pylist()}
    return images, [splits[row] for row in range(len(images))], sorted(facts), rejects


@settings(deadline=None, max_examples=60)
@given(all_imports=st.lists(imports(), min_size=1, max_size=3))
def test_chunks_of_any_size_merge_like_all_images_at_once(all_imports: list) -> None:
    reference = PlainDatabase()
    rejects = set()
    for source, listed, _ in all_imports:
        whole = read(source, listed)
        reference.merge(whole)
        rejects |= set(whole.rejects["location"].to_pylist())
    streams = [stream(source, listed, cuts) for source, listed, cuts in all_imports]
    with tempfile.TemporaryDirectory() as folder:
        database = merged(folder, *streams)
        images, splits, facts, rejected = content(database.store)
        assert database.check().passed
    assert images == reference.images
    assert splits == reference.splits
    assert facts == sorted(reference.facts)
    assert rejected <= rejects  # a place that a later import lists soundly is mended


@settings(deadline=None, max_examples=40)
@given(one=imports(), other=imports())
def test_two_sources_in_either_order_are_the_same_images_and_facts(
    one: tuple, other: tuple
) -> None:
    def logical(*order: tuple[str, tuple]) -> tuple[list, list]:
        """Images by where they are rather than by name or row, and what is said of them."""
        with tempfile.TemporaryDirectory() as folder:
            streams = [stream(source, *rest[1:]) for source, rest in order]
            images, _, facts, _ = content(merged(folder, *streams).store)
        place = {image["row"]: tuple(sorted(image["uris"])) for image in images}
        held = [(place[i["row"]], tuple(sorted(i["sources"]))) for i in images]
        return sorted(held), sorted((place[fact[0]], *fact[1:]) for fact in facts)

    # Both name an image after its place, and say where it is: else the first to come has a say.
    assume(all(entry.uri for entry in (*one[1], *other[1])))
    named = []
    for source, (_, listed, cuts) in zip(("first", "second"), (one, other), strict=True):
        same = [replace(entry, name=Path(entry.uri).stem) for entry in listed]
        named.append((source, (source, same, cuts)))
    assert logical(*named) == logical(*reversed(named))


@settings(deadline=None, max_examples=20)
@given(one=imports(), other=imports())
def test_importing_again_changes_nothing(one: tuple, other: tuple) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = merged(folder, stream(*one), stream(*other))
        images, splits, facts, _ = content(database.store)
        fingerprint = facts_fingerprint(database.store.manifest)
        for source, listed, cuts in (one, other):
            report = database.add(stream(source, listed, cuts[:1]))
            assert (report.new_images, report.facts) == (0, 0)
        assert content(database.store)[:3] == (images, splits, facts)
        assert facts_fingerprint(database.store.manifest) == fingerprint  # tags stay current


@st.composite
def crowded(draw: st.DrawFn) -> tuple[str, list[Entry], list[int]]:
    """An import in which one name stands at several of four places, two of them URLs."""
    places = ["https://a/x.jpg", "https://b/x.jpg", "/p/x.jpg", "/q/x.jpg"]
    names = st.sampled_from(["x", "x", "y", "Not safe"])
    chosen = draw(st.lists(st.sampled_from(places), unique=True, max_size=4))
    categories = st.lists(st.integers(0, 5), max_size=2, unique=True).map(tuple)
    listed = [Entry(draw(names), place, None, draw(categories)) for place in chosen]
    cuts = draw(st.lists(st.integers(0, len(listed)), max_size=3).map(sorted))
    return draw(st.sampled_from(["first", "first", "second"])), listed, cuts


@settings(deadline=None, max_examples=40)
@given(
    imports=st.lists(crowded(), min_size=1, max_size=3), randomly=st.randoms(use_true_random=False)
)
def test_names_at_several_places_are_the_same_images_again(imports: list, randomly: Random) -> None:
    reference = PlainDatabase()
    for source, listed, _ in imports:
        reference.merge(read(source, listed))
    with tempfile.TemporaryDirectory() as folder:
        database = merged(folder, *(stream(*one) for one in imports))
        images, splits, facts, _ = content(database.store)
        assert (images, splits) == (reference.images, reference.splits)
        assert facts == sorted(reference.facts)
        for source, listed, cuts in imports:
            shuffled = randomly.sample(listed, len(listed))
            report = database.add(stream(source, shuffled, cuts[:1]))
            assert (report.new_images, report.facts) == (0, 0)
        assert content(database.store)[:3] == (images, splits, facts)


@pytest.mark.parametrize("cuts", [[], [1]])
@pytest.mark.parametrize("cuts_again", [[], [1]])
def test_a_url_stays_with_the_image_of_which_a_copy_is_listed_before_it(
    tmp_path: Path, cuts: list[int], cuts_again: list[int]
) -> None:
    url = Entry("x", "https://a/x.jpg", None, (1,))
    both = [Entry("x", "/p/x.jpg", None, (2,)), replace(url, categories=(3,))]
    database = merged(str(tmp_path), stream("s", [url], []), stream("s", both, cuts))
    images, _, facts, _ = content(database.store)
    assert [image["uris"] for image in images] == [["https://a/x.jpg", "/p/x.jpg"]]
    assert [fact[:2] for fact in facts] == [(0, 1), (0, 2), (0, 3)]
    assert database.add(stream("s", both, cuts_again)).facts == 0


def test_two_places_of_an_image_in_one_chunk_say_a_fact_once(tmp_path: Path) -> None:
    url, copy = "https://a/x.jpg", "/p/x.jpg"
    known = [[Entry("x", url, None, ())], [Entry("x", copy, None, ())]]
    both = [Entry("x", url, None, (1,)), Entry("x", copy, None, (1,))]
    database = merged(
        str(tmp_path), *(stream("s", one, []) for one in known), stream("new", both, [])
    )
    assert content(database.store)[2] == [(0, 1, "new", True, 0.5, "asserted")]


def test_facts_of_a_later_chunk_join_the_image_of_their_id(tmp_path: Path) -> None:
    def chunks() -> Iterator[Reading]:
        for uri, category in (("https://h/x.jpg", 1), (None, 2), (None, 2), (None, 3)):
            builder = ReadingBuilder("s", "table")
            builder.add_fact(builder.add_image("here", uri, "x") or 0, category)
            yield builder.build()

    database = merged(str(tmp_path), chunks())
    images, _, facts, rejects = content(database.store)
    assert [(image["id"], image["uris"]) for image in images] == [("x", ["https://h/x.jpg"])]
    assert [fact[1] for fact in facts] == [1, 2, 3]
    assert not rejects


def test_a_place_that_comes_again_by_another_name_is_a_reject(tmp_path: Path) -> None:
    listed = [Entry(name, "https://h/1.jpg", None, (1,)) for name in "xyz"]
    database = merged(str(tmp_path), stream("s", listed, [1, 2]))
    images, _, facts, rejects = content(database.store)
    assert (len(images), len(facts), rejects) == (1, 1, {"list:1", "list:2"})


def test_small_buffers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [Entry(f"n{n}", None, None, (n % 5, 5)) for n in range(40)]
    with_uris = [Entry(e.name, f"/p/{e.name}.jpg", None, (1, 5), "ann") for e in listed[::-1]]
    contents = []
    for folder in ("large", "small"):
        imports = (stream("a", listed, [11, 29]), stream("b", with_uris, [7, 8, 30]))
        database = merged(str(tmp_path / folder), *imports, stream("b", with_uris, [20]))
        assert database.check().passed
        contents.append(content(database.store))
        monkeypatch.setattr(fact_intake, "MOST_HELD", 3)
        monkeypatch.setattr(held_images, "MOST_GAINS", 2)
    assert contents[0] == contents[1]
    last = contents[0][0][39]
    assert (last["sources"], last["uris"]) == (["a", "b"], ["/p/n39.jpg"])
    assert (last["licence"], last["author"]) == (None, "ann")


def test_an_error_in_a_stream_leaves_the_old_generation(tmp_path: Path) -> None:
    listed = [Entry(f"n{n}", None, None, (1,)) for n in range(20)]
    database = merged(str(tmp_path), read("a", listed[:5]))
    before = sorted(path for path in database.root.rglob("*") if path.suffix != ".lock")

    def broken() -> Iterator[Reading]:
        yield from stream("b", listed, [10])
        raise InputError("list", "it broke off", "mend it")

    with pytest.raises(InputError, match="broke off"):
        database.add(broken())
    assert sorted(path for path in database.root.rglob("*") if path.suffix != ".lock") == before
    assert Store.open(database.root).num_rows("images") == 5


def test_a_stream_is_of_one_source(tmp_path: Path) -> None:
    chunks = iter([read("a", [Entry("x", None, None, ())]), read("b", [])])
    with pytest.raises(InputError, match="a and b"):
        merged(str(tmp_path), chunks)
    with pytest.raises(InputError, match="yielded nothing"):
        merged(str(tmp_path / "other"), iter([]))


def test_a_stream_of_which_nothing_can_be_kept_is_refused_before_anything_is_written() -> None:
    def rejected(line: int) -> Reading:
        builder = ReadingBuilder("s", "table")
        builder.reject(f"list:{line}", "empty line")
        return builder.build()

    with pytest.raises(InputError, match=r"none of its 2 entries can be kept \(list:1: empty"):
        require_images(iter([rejected(1), rejected(2)]), "list")
    kept = require_images(iter([rejected(1), read("s", [Entry("x", None, None, ())])]), "list")
    assert joined(kept).images["id"].to_pylist() == ["x"]
