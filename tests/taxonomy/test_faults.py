"""All faults of a dictionary, against a plain script that shares no code with the package."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.taxonomy.independent_check import check

from mlimages.errors import InputError
from mlimages.taxonomy.auditing import audit
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.dictionary import read_dictionary, write_dictionary
from mlimages.taxonomy.faults import find_faults

Lines = list[list[bytes]]
WHOLE = 500  # a cut of the released dictionary in which every parent comes first


def set_cell(column: int, value: bytes) -> Callable[[Lines, random.Random], None]:
    def damage(lines: Lines, dice: random.Random) -> None:
        dice.choice(lines[1:])[column] = value

    return damage


def copy_cell(column: int, to: int) -> Callable[[Lines, random.Random], None]:
    def damage(lines: Lines, dice: random.Random) -> None:
        source, target = dice.sample(lines[1:], 2)
        target[to] = source[column]

    return damage


def swap(lines: Lines, dice: random.Random) -> None:
    first, second = dice.sample(range(1, len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]


def loop(lines: Lines, dice: random.Random) -> None:
    """Hang the parent of a line below it."""
    below = dice.choice([line for line in lines[1:] if line[2] != b"-1"])
    lines[1 + int(below[2])][2] = below[0]


DAMAGES: dict[str, Callable[[Lines, random.Random], object]] = {
    "another parent": copy_cell(0, 2),
    "another root": set_cell(2, b"-1"),
    "loop": loop,
    "dangling parent": set_cell(2, b"4999"),
    "no parent": set_cell(2, b"-2"),
    "shared name": copy_cell(3, 3),
    "no name": set_cell(3, b""),
    "bytes": set_cell(3, b"caf\xe9"),
    "carriage return": set_cell(3, b"dog\r"),
    "id twice": copy_cell(1, 1),
    "no synset": set_cell(1, b"n02084072"),
    "no id": set_cell(1, b"a dog"),
    "index twice": copy_cell(0, 0),
    "far index": set_cell(0, b"4998"),
    "no index": set_cell(0, b"01"),
    "column lost": lambda lines, dice: dice.choice(lines[1:]).pop(),
    "column added": lambda lines, dice: dice.choice(lines[1:]).append(b""),
    "line lost": lambda lines, dice: lines.pop(dice.randrange(1, len(lines))),
    "line twice": lambda lines, dice: lines.append(list(dice.choice(lines[1:]))),
    "lines swapped": swap,
    "blank line": lambda lines, dice: lines.insert(dice.randrange(1, len(lines)), [b""]),
    "header": lambda lines, dice: lines[0].pop(),
}
HARMLESS = ("another parent", "another root", "shared name")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("released") / "dictionary.tsv"
    write_dictionary(released_taxonomy(), path)
    return path


def compare(path: Path) -> tuple[set[tuple[int, str]], dict[str, int]]:
    """Check that package and script agree; what they found."""
    faults, figures = check(path)
    found = find_faults(path).faults
    assert {(fault.line, fault.kind) for fault in found} == faults
    assert len(found) == len(faults)
    if faults:
        with pytest.raises(InputError):
            read_dictionary(path)
    else:
        printed = asdict(audit(path).summary)
        assert {name: printed[name] for name in figures} == figures
    return faults, figures


def damage_some(lines: Lines, number: int) -> set[str]:
    """Damage number `number`: some harm nothing but the figures, most do; by its own dice."""
    dice = random.Random(number)
    names = dice.sample(HARMLESS if number % 4 == 0 else sorted(DAMAGES), dice.choice((1, 1, 2, 3)))
    for name in names:
        try:
            DAMAGES[name](lines, dice)
        except (IndexError, ValueError):
            continue  # an earlier damage took the cell away
    return set(names)


def test_100_damaged_dictionaries_are_found_as_a_plain_script_finds_them(
    released: Path, tmp_path: Path
) -> None:
    rows = [line.split(b"\t") for line in released.read_bytes().split(b"\n")[: WHOLE + 1]]
    done: set[str] = set()
    kinds: set[str] = set()
    unharmed = set()
    for number in range(100):
        lines = [list(row) for row in rows]
        done |= damage_some(lines, number)
        path = tmp_path / f"{number}.tsv"
        path.write_bytes(b"\n".join(b"\t".join(line) for line in lines) + b"\n")
        faults, figures = compare(path)
        kinds |= {kind for _, kind in faults}
        unharmed.add(tuple(figures.values()))
    assert done == DAMAGES.keys()
    assert len(unharmed) > 10  # figures are compared too, and they are not always the same
    assert kinds == {
        *("header", "encoding", "carriage_return", "columns", "index", "duplicate_index", "order"),
        *("gap", "id", "duplicate_id", "name", "parent", "dangling_parent", "cycle"),
    }


def test_the_released_dictionary_has_no_fault_and_its_known_figures(released: Path) -> None:
    faults, figures = compare(released)
    assert faults == set()
    assert figures == {
        "categories": 11_166,
        "forest_pairs": 83_422,
        "wordnet_pairs": 88_196,
        "pairs_lost_by_forest": 4_849,
        "parents_outside_wordnet": 6,
        "parents_after_child": 1,
        "shared_names": 262,
        "name_repeats": 293,
    }


def test_the_whole_released_dictionary_damaged(released: Path, tmp_path: Path) -> None:
    rows = [line.split(b"\t") for line in released.read_bytes().split(b"\n")[:-1]]
    for name in ("another parent", "id twice", "lines swapped"):
        DAMAGES[name](rows, random.Random(3))
    path = tmp_path / "damaged.tsv"
    path.write_bytes(b"\n".join(b"\t".join(row) for row in rows) + b"\n")
    assert {kind for _, kind in compare(path)[0]} >= {"duplicate_id", "order"}


def test_two_cycles_are_both_named_and_a_line_without_its_columns_keeps_its_index(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cycles.tsv"
    path.write_text(
        "category_index\tcategory_id\tindex_of_parent_category\tcategory name\n"
        "0\town:a\t1\ta\n1\town:b\t0\tb\n2\town:c\t2\tc\n3\n4\town:e\t3\te\n"
    )
    found = find_faults(path).faults
    assert [(fault.line, fault.kind) for fault in found] == [
        (2, "cycle"),
        (4, "cycle"),
        (5, "columns"),
    ]
    assert found[0].cause == "cycle own:a (line 2) -> own:b (line 3) -> own:a (line 2)"
