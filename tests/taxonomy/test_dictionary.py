"""The released form of a dictionary: exact both ways, and one line for everything wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import CyclicHierarchyError, InputError
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.dictionary import HEADER, read_dictionary, write_dictionary

GOOD = ["0\tn02083346\t-1\tcanine, canid", "1\tn02084071\t0\tdog, house dog", "2\town:rex\t1\tRex"]


def written(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_the_released_dictionary_goes_through_byte_for_byte(
    shared_data: Path, tmp_path: Path
) -> None:
    released = shared_data / "tencent" / "dictionary_and_semantic_hierarchy.txt"
    write_dictionary(read_dictionary(released), tmp_path / "read.tsv")
    assert (tmp_path / "read.tsv").read_bytes() == released.read_bytes()
    write_dictionary(released_taxonomy(), tmp_path / "packaged.tsv")
    assert (tmp_path / "packaged.tsv").read_bytes() == released.read_bytes()


def test_the_packaged_categories_go_through_unchanged(tmp_path: Path) -> None:
    write_dictionary(released_taxonomy(), tmp_path / "once.tsv")
    again = read_dictionary(tmp_path / "once.tsv")
    assert again.categories == released_taxonomy().categories
    assert again.parents.tolist() == released_taxonomy().parents.tolist()
    write_dictionary(again, tmp_path / "twice.tsv")
    assert (tmp_path / "once.tsv").read_bytes() == (tmp_path / "twice.tsv").read_bytes()


def test_custom_keys_and_names_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "own.tsv", GOOD)
    taxonomy = read_dictionary(path)
    assert taxonomy.keys == ("n02083346", "n02084071", "own:rex")
    assert taxonomy.parents.tolist() == [-1, 0, 1]
    assert [category.source for category in taxonomy.categories] == ["wordnet", "wordnet", "own"]
    assert taxonomy.categories[1].names == ("dog", "house dog")  # not WordNet's
    assert taxonomy.categories[1].gloss.startswith("a member of the genus Canis")
    assert taxonomy.categories[2].gloss == ""
    write_dictionary(taxonomy, tmp_path / "back.tsv")
    assert (tmp_path / "back.tsv").read_bytes() == path.read_bytes()


NAMES = st.text(
    st.characters(blacklist_characters="\t\n\r", blacklist_categories=("Cs",)), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=6), data=st.data())
def test_any_names_and_any_forest_go_through(
    names: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    order = data.draw(st.permutations(range(len(names))))
    parents = [
        data.draw(st.sampled_from([-1, *(p for p in range(len(names)) if order[p] < order[i])]))
        for i in range(len(names))
    ]
    rows = zip(parents, names, strict=True)
    lines = [f"{i}\town:key{i}\t{parent}\t{name}" for i, (parent, name) in enumerate(rows)]
    folder = tmp_path_factory.mktemp("names")
    path = written(folder / "in.tsv", lines)
    taxonomy = read_dictionary(path)
    assert [category.name for category in taxonomy.categories] == names
    write_dictionary(taxonomy, folder / "out.tsv")
    assert (folder / "out.tsv").read_bytes() == path.read_bytes()


def test_the_last_line_feed_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "cut.tsv"
    path.write_text("\n".join([HEADER, *GOOD]), encoding="utf-8")
    assert len(read_dictionary(path)) == 3


@pytest.mark.parametrize(
    ("number", "line", "words"),
    [
        (1, "1\tn02084071\t0", ":3: 3 columns, not 4"),
        (1, "1\tn02084071\t0\tdog\textra", ":3: 5 columns, not 4"),
        (1, "", ":3: 1 columns, not 4"),
        (1, "2\tn02084071\t0\tdog", ":3: index '2', not 1"),
        (1, "01\tn02084071\t0\tdog", ":3: index '01', not 1"),
        (1, "1\tn02084071\tzero\tdog", ":3: parent 'zero' is not an index"),
        (1, "1\tn02084071\t-2\tdog", ":3: parent '-2' is not an index"),
        (1, "1\tn02084071\t 0\tdog", ":3: parent ' 0' is not an index"),
        (1, "1\tn02084071\t3\tdog", ":3: parent 3 is out of range, there are 3"),
        (1, "1\tn02084071\t999999999999\tdog", ":3: parent '999999999999' is not an index"),
        (1, "1\tn02083346\t0\tdog", ":3: id n02083346 is also on line 2"),
        (1, "1\tn02084072\t0\tdog", ":3: id n02084072 is not a noun synset of WordNet 3.0"),
        (1, "1\tdog\t0\tdog", ":3: id 'dog' is neither a wnid nor"),
        (1, "1\town:a dog\t0\tdog", ":3: id 'own:a dog' is neither"),
        (1, "1\tn02084071\t0\t", ":3: no name"),
        (1, "1\tn02084071\t0\tdog\r", ":3: carriage return"),
    ],
)
def test_a_wrong_line_is_named_with_its_file_and_number(
    tmp_path: Path, number: int, line: str, words: str
) -> None:
    path = written(tmp_path / "bad.tsv", [*GOOD[:number], line, *GOOD[number + 1 :]])
    with pytest.raises(InputError) as caught:
        read_dictionary(path)
    assert str(caught.value).startswith(f"{path}{words}")
    assert "\n" not in str(caught.value)


def test_a_cycle_names_its_categories_and_lines(tmp_path: Path) -> None:
    lines = ["0\tn02083346\t2\tcanine", *GOOD[1:]]
    path = written(tmp_path / "cycle.tsv", lines)
    with pytest.raises(CyclicHierarchyError) as caught:
        read_dictionary(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: cycle ")
    for step in ("n02083346 (line 2)", "n02084071 (line 3)", "own:rex (line 4)"):
        assert step in message


def test_its_own_parent_is_a_cycle(tmp_path: Path) -> None:
    path = written(tmp_path / "self.tsv", ["0\town:a\t0\ta"])
    with pytest.raises(CyclicHierarchyError, match=r"own:a \(line 2\) -> own:a \(line 2\)"):
        read_dictionary(path)


def test_files_that_are_no_dictionary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_dictionary(tmp_path / "missing.tsv")
    with pytest.raises(InputError, match="is a folder"):
        read_dictionary(tmp_path)
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(InputError, match="empty"):
        read_dictionary(tmp_path / "empty.tsv")
    with pytest.raises(InputError, match=":1: not the expected header"):
        read_dictionary(written(tmp_path / "header.tsv", GOOD, "index,id,parent,name"))
    with pytest.raises(InputError, match="no category"):
        read_dictionary(written(tmp_path / "none.tsv", []))


def test_bytes_that_are_no_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path / "latin.tsv", GOOD)
    path.write_bytes(path.read_bytes() + b"3\town:cafe\t-1\tcaf\xe9\n")
    with pytest.raises(InputError, match=r"latin.tsv:5: not UTF-8"):
        read_dictionary(path)


def test_a_name_that_the_format_cannot_hold_is_not_written(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_keys(["own:a"], [-1], [("two\tcolumns",)])
    with pytest.raises(InputError, match="TAB"):
        write_dictionary(taxonomy, tmp_path / "out.tsv")
    assert list(tmp_path.iterdir()) == []
