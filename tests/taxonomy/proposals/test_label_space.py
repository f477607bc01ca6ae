"""The whole mapping: table, unmapped report, figures; and what a source makes of the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mlimages.cli import run
from mlimages.errors import InputError
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.mapping import read_label_map
from mlimages.taxonomy.proposals.label_space import map_label_space
from mlimages.taxonomy.proposals.tables import MAPPING_HEADER
from mlimages.taxonomy.sensitivity import sensitive_wnids
from mlimages.taxonomy.wordnet import wordnet

CLASSES = """key\tname\tparent
1\tDog\t
2\tHound dog\t1
3\tCrane\t9
4\tDabu-dabu\t
5\tCanine\t
6\tDomestic dog\t
9\tBird\t
"""


def mapped(folder: Path, text: str = CLASSES, **options: object):  # type: ignore[no-untyped-def]
    (folder / "classes.tsv").write_text(text, encoding="utf-8")
    summary = map_label_space(
        folder / "classes.tsv",
        folder / "map.tsv",
        released_taxonomy(),
        **options,  # type: ignore[arg-type]
    )
    return summary, rows(folder / "map.tsv"), rows(folder / "map.unmapped.tsv")


def rows(path: Path) -> dict[str, dict[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    return {
        line.split("\t")[0]: dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]
    }


def test_a_mapping_table_is_a_label_map_with_the_evidence_beside(tmp_path: Path) -> None:
    _, table, unmapped = mapped(tmp_path)
    assert table["1"]["wnid"] == "n02084071"
    assert table["1"]["gloss"].startswith("a member of the genus Canis")
    assert "sense 1 of" in table["1"]["evidence"]
    assert table["1"]["path"].startswith("entity > physical entity > ")
    assert "parent above" in table["3"]["evidence"]
    assert unmapped["4"]["reason"] == "no noun of WordNet is like it"
    taxonomy = released_taxonomy()
    labels = read_label_map(tmp_path / "map.tsv").resolve(taxonomy)
    assert labels.categories["1"] == (taxonomy.index("n02084071"),)


def test_synonyms_are_reported_as_merged(tmp_path: Path) -> None:
    summary, _, _ = mapped(tmp_path)
    (pair,) = [m for m in summary.merged if m.wnid == "n02084071"]
    assert pair.labels == ("1", "6")
    assert pair.names == ("Dog", "Domestic dog")


def test_a_review_is_given_back_and_kept(tmp_path: Path) -> None:
    _, table, _ = mapped(tmp_path)
    path = tmp_path / "map.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    edited = [
        line.replace("\tn02084071\texact\t\t\tproposed", "\tn02083346\tbroader\tmine\t\tmanual")
        if line.startswith("1\t")
        else line
        for line in lines
    ]
    assert edited != lines
    (tmp_path / "review.tsv").write_text("\n".join(edited) + "\n", encoding="utf-8")
    summary, again, _ = mapped(tmp_path, overrides=tmp_path / "review.tsv")
    assert (again["1"]["wnid"], again["1"]["status"], again["1"]["note"]) == (
        "n02083346",
        "manual",
        "mine",
    )
    assert summary.manual == 1
    assert again["9"] == table["9"]


def test_by_hand_a_class_may_have_several_synsets_none_or_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "o.tsv").write_text(
        "label\twnid\trelation\tnote\tparent\n"
        "1\tn02084071 n02121808\texact\t\t\n"
        "5\t-\texact\tnot wanted\t\n"
        "4\town:dabu\texact\t\tn07809096\n"
        "77\tn02084071\texact\t\t\n",
        encoding="utf-8",
    )
    summary, table, unmapped = mapped(tmp_path, overrides=tmp_path / "o.tsv")
    assert table["1"]["wnid"] == "n02084071 n02121808"
    assert summary.several == 1
    assert unmapped["5"]["reason"] == "by hand"
    assert summary.by_hand == 1
    assert (table["4"]["wnid"], table["4"]["parent"]) == ("own:dabu", "n07809096")
    assert summary.unused_overrides == ("77",)
    taxonomy = released_taxonomy()
    labels = read_label_map(tmp_path / "map.tsv").resolve(taxonomy)
    both = {taxonomy.index("n02084071"), taxonomy.index("n02121808")}
    assert set(labels.categories["1"]) == both
    assert taxonomy.index("n02121808") not in labels.exhaustive  # of two, which one is absent?
    assert labels.categories["4"] == taxonomy.lift("n07809096")


def test_a_key_of_its_own_is_used_where_the_vocabulary_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "o.tsv"
    path.write_text(
        "label\twnid\trelation\tnote\tparent\nRex\town:rex\texact\t\tn02084071\n", encoding="utf-8"
    )
    own = Taxonomy.from_keys(["n02084071", "own:rex"], [-1, 0])
    assert read_label_map(path).resolve(own).categories == {"Rex": (1,)}
    dogs = Taxonomy.from_keys(["n02084071"], [-1])
    assert read_label_map(path).resolve(dogs).lifted == ("Rex",)


def test_the_minimum_confidence_moves_lines_to_the_unmapped_report(tmp_path: Path) -> None:
    _, loose, _ = mapped(tmp_path, minimum_confidence=0.0)
    summary, strict, unmapped = mapped(tmp_path, minimum_confidence=0.99)
    assert strict.keys() < loose.keys()
    moved = loose.keys() - strict.keys()
    assert all(unmapped[key]["candidates"] for key in moved)
    assert all("below 0.99" in unmapped[key]["reason"] for key in moved)
    assert summary.mapped + summary.unmapped == summary.classes == 7


def test_sensitive_persons_are_candidates_only_when_asked(tmp_path: Path) -> None:
    text = "name\n" + "\n".join(["crane", "bat", "mouse", "bishop", "pig", "witch", "ace"]) + "\n"
    hidden, _, _ = mapped(tmp_path, text, minimum_confidence=1.0)
    report = (tmp_path / "map.unmapped.tsv").read_text(encoding="utf-8")
    assert not [wnid for wnid in sensitive_wnids() if wnid in report]
    assert hidden.hidden > 0
    mapped(tmp_path, text, minimum_confidence=1.0, include_sensitive=True)
    report = (tmp_path / "map.unmapped.tsv").read_text(encoding="utf-8")
    assert [wnid for wnid in sensitive_wnids() if wnid in report]


def test_names_in_other_languages_stand_beside(tmp_path: Path) -> None:
    path = tmp_path / "n.tsv"
    path.write_text(
        "key\tlanguage\tname\nn02084071\tde\tHund\nn02084071\tfr\tchien\n1\teo\thundo\n",
        encoding="utf-8",
    )
    _, table, _ = mapped(tmp_path, names=path)
    assert table["1"]["other_names"] == "eo: hundo; de: Hund; fr: chien"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    mapped(tmp_path)
    first = (tmp_path / "map.tsv").read_bytes()
    mapped(tmp_path)
    assert (tmp_path / "map.tsv").read_bytes() == first


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\tn02084071\texact\t\t\tmaybe", "status 'maybe'"),
        ("1\tn99999999\texact\t\t\tmanual", "'n99999999' is not a noun synset"),
        ("1\tn02084071 \texact\t\t\tmanual", "'' is not a noun synset"),
        ("1\town:x\texact\t\tn99999999\tmanual", "'n99999999' is not a noun synset"),
        ("1\tn02084071\tsame\t\t\tmanual", "relation 'same'"),
    ],
)
def test_a_wrong_override_is_named_and_nothing_written(
    tmp_path: Path, line: str, words: str
) -> None:
    header = "label\twnid\trelation\tnote\tparent\tstatus"
    (tmp_path / "o.tsv").write_text(f"{header}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        mapped(tmp_path, overrides=tmp_path / "o.tsv")
    assert words in str(caught.value)
    assert not (tmp_path / "map.tsv").exists()


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_confidence_out_of_range_is_named(tmp_path: Path, value: float) -> None:
    with pytest.raises(InputError, match="minimum confidence"):
        mapped(tmp_path, minimum_confidence=value)


def test_the_command_prints_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.csv").write_text("/m/1,Dog\n/m/2\n/m/3,Domestic dog\n", encoding="utf-8")
    arguments = ["taxonomy", "map", str(tmp_path / "c.csv"), str(tmp_path / "m.tsv")]
    assert run([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["classes"], result["mapped"]) == (2, 2)
    assert result["rejected"] == [f"{tmp_path / 'c.csv'}:2: 1 columns, not 2"]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert "n02084071 dog, domestic dog, Canis familiaris: Dog (/m/1), Domestic dog (/m/3)" in shown
    assert run([*arguments, "--strict"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_open_images_is_mapped_and_every_line_is_a_synset(
    tmp_path: Path, shared_data: Path
) -> None:
    metadata = shared_data / "metadata"
    summary = map_label_space(
        metadata / "openimages_class_descriptions.csv",
        tmp_path / "map.tsv",
        released_taxonomy(),
        hierarchy=metadata / "openimages_bbox_labels_600_hierarchy.json",
    )
    assert summary.classes == 19_996
    assert summary.mapped > 10_000
    table = rows(tmp_path / "map.tsv")
    assert (tmp_path / "map.tsv").read_text(encoding="utf-8").startswith(MAPPING_HEADER + "\n")
    assert len(table) == summary.mapped
    with open(metadata / "openimages_class_descriptions.csv", encoding="utf-8") as file:
        names = {key: " ".join(name.split()) for key, name in csv.reader(file)}
    assert all(names[key] == row["name"] for key, row in table.items())
    assert all(row["wnid"] in wordnet() for row in table.values())
    # The hierarchy has this kite under Toy; by name alone it could be the bird.
    assert table["/m/02zt3"]["wnid"] == "n03621473"
