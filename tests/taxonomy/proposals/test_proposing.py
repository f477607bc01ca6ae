"""Proposals: each piece of evidence tips the balance, nothing depends on order."""

from __future__ import annotations

import math
import random

import pytest

from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.mapping import LabelMap, Mapping, packaged_label_map
from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.proposing import Proposal, propose
from mlimages.taxonomy.wordnet import wordnet

BAT_ANIMAL, BAT_CLUB = "n02139199", "n02806379"
CRANE_BIRD, CRANE_MACHINE = "n02012849", "n03126707"


def one(name: str, **known: object) -> Proposal:
    return propose([ForeignClass("k", (name,), **known)])[0]  # type: ignore[arg-type]


def by_key(proposals: list[Proposal]) -> dict[str, Proposal]:
    return {proposal.foreign.key: proposal for proposal in proposals}


def test_a_name_with_one_sense_is_sure() -> None:
    proposal = one("capybara")
    assert proposal.wnids == ("n02365480",)
    assert proposal.relation == "exact"
    assert proposal.confidence > 0.95


def test_confidences_leave_room_for_none_of_them() -> None:
    for name in ("crane", "dog", "course", "Red bellied woodpecker"):
        proposal = one(name)
        total = sum(candidate.confidence for candidate in proposal.candidates)
        scores = [math.exp(candidate.score) for candidate in proposal.candidates]
        assert total < 1
        assert total == pytest.approx(sum(scores) / (1 + sum(scores)))
        ordered = [candidate.confidence for candidate in proposal.candidates]
        assert ordered == sorted(ordered, reverse=True)


def test_an_unknown_name_has_no_synset() -> None:
    proposal = one("Dabu-dabu")
    assert (proposal.wnids, proposal.confidence, proposal.best) == ((), 0.0, None)


def test_parentheses_choose_the_sense() -> None:
    assert one("Crane (bird)").wnids == (CRANE_BIRD,)
    assert one("Crane (lifting device)").wnids == (CRANE_MACHINE,)
    heavy = one("Crane (lifts heavy objects)").candidates  # words of the gloss
    assert heavy[0].wnid == CRANE_MACHINE


def test_a_gloss_chooses_the_sense() -> None:
    assert one("crane", gloss="large wading bird with long legs").wnids == (CRANE_BIRD,)
    heavy = "machine that lifts and moves heavy objects"
    assert one("crane", gloss=heavy).wnids == (CRANE_MACHINE,)


def test_the_hierarchy_of_the_source_chooses_the_sense() -> None:
    classes = [
        ForeignClass("1", ("bat",), parents=("10",)),
        ForeignClass("2", ("bat",), parents=("20",)),
        ForeignClass("10", ("animal",)),
        ForeignClass("20", ("sports equipment",)),
    ]
    found = by_key(propose(classes))
    assert found["1"].wnids == (BAT_ANIMAL,)
    (equipment,) = wordnet().synsets("sports equipment")
    assert equipment in wordnet().ancestors(found["2"].wnids[0])
    assert found["2"].best is not None
    assert found["2"].best.evidence["parent above"] > 0.5


def test_children_choose_the_sense_of_their_parent() -> None:
    alone = one("crane")
    assert alone.wnids == (CRANE_BIRD,)
    children = [ForeignClass(n, (n,), parents=("k",)) for n in ("derrick", "davit")]
    found = by_key(propose([ForeignClass("k", ("crane",)), *children]))
    assert found["k"].wnids == (CRANE_MACHINE,)


def test_shared_images_choose_the_sense() -> None:
    crane = [ForeignClass("k", ("crane",))]
    many = {"k": {CRANE_MACHINE: 400, CRANE_BIRD: 3}}
    assert propose(crane, shared_images=many)[0].wnids == (CRANE_MACHINE,)
    few = propose(crane, shared_images={"k": {CRANE_MACHINE: 1}})[0]
    assert few.confidence < propose(crane, shared_images=many)[0].confidence


def test_the_vocabulary_is_evidence() -> None:
    plain = one("crane")
    (with_it,) = propose([ForeignClass("k", ("crane",))], frozenset({CRANE_MACHINE}))
    machine = {c.wnid: c.confidence for c in with_it.candidates}[CRANE_MACHINE]
    assert machine > {c.wnid: c.confidence for c in plain.candidates}[CRANE_MACHINE]


def test_capitals_tell_only_where_a_source_uses_them() -> None:
    lower = [ForeignClass(n, (n,)) for n in ("turkey", "dog", "cat", "china", "bear")]
    found = by_key(propose(lower))
    assert wordnet().lemmas(found["turkey"].wnids[0])[0] == "turkey"
    (republic,) = [w for w in wordnet().synsets("Turkey") if "republic" in wordnet().gloss(w)]
    told = propose([*lower, ForeignClass("Turkey", ("Turkey",))])[-1]
    not_told = one("Turkey")
    shares = [{c.wnid: c.confidence for c in p.candidates}[republic] for p in (told, not_told)]
    assert shares[0] > 5 * shares[1]


def test_classes_of_one_name_share_its_confidence() -> None:
    alone = one("capybara").confidence
    twice = propose([ForeignClass("1", ("capybara",)), ForeignClass("2", ("Capybara",))])
    assert [p.confidence for p in twice] == [pytest.approx(alone / 2, abs=0.01)] * 2


def test_a_head_noun_is_a_broader_thing_in_the_sense_that_makes_compounds() -> None:
    proposal = one("Apricot roll")
    assert proposal.relation == "broader"
    compounds = {c.wnid: c.evidence.get("compounds", 0.0) for c in proposal.candidates}
    bun, film = "n07680932", "n04101375"
    assert compounds[bun] > compounds[film] == 0.0


def test_names_of_products_are_doubted() -> None:
    models = [f"Ford {name}" for name in ("falcon", "xqz", "yaqz", "zzqx", "qqzy")]
    found = by_key(propose([ForeignClass(n, (n,)) for n in models]))
    alone = one("Ford falcon")
    assert found["Ford falcon"].confidence < alone.confidence / 2
    assert one("Ford f6f falcon").confidence < alone.confidence


def test_a_class_without_a_word_takes_that_of_its_parent_as_broader() -> None:
    classes = [
        ForeignClass("a", ("Qqzy",), parents=("b",)),
        ForeignClass("b", ("Xxqz",), parents=("c",)),
        ForeignClass("c", ("capybara",)),
    ]
    found = by_key(propose(classes))
    assert found["a"].wnids == found["b"].wnids == found["c"].wnids
    assert found["a"].relation == "broader"
    assert found["a"].confidence == found["c"].confidence


def test_a_cycle_or_a_missing_parent_in_the_source_does_no_harm() -> None:
    classes = [
        ForeignClass("a", ("crane",), parents=("b", "nowhere")),
        ForeignClass("b", ("bird",), parents=("a",)),
        ForeignClass("c", ("Qqzy",), parents=("c",)),
    ]
    assert by_key(propose(classes))["a"].wnids == (CRANE_BIRD,)


def test_what_is_said_by_hand_wins_and_helps_the_others() -> None:
    manual = LabelMap("m", [Mapping("10", BAT_CLUB + " " + CRANE_BIRD, "exact", "")])
    classes = [ForeignClass("10", ("dog",)), ForeignClass("2", ("cat",))]
    found = by_key(propose(classes, overrides=manual))
    assert found["10"].wnids == (BAT_CLUB, CRANE_BIRD)
    assert found["10"].confidence == 1.0
    assert found["2"].manual is None
    own = LabelMap("m", [Mapping("p", "own:rig", "exact", "", parent="n03125729")])
    rig = [ForeignClass("p", ("Rig",)), ForeignClass("c", ("crane",), parents=("p",))]
    assert by_key(propose(rig, overrides=own))["p"].wnids == ("own:rig",)


def test_proposals_do_not_depend_on_the_order_of_classes() -> None:
    names = ["crane", "bat", "mouse", "bird", "animal", "Ford", "tool", "dog", "plant", "roll"]
    classes = [
        ForeignClass(n, (n,), parents=("animal",) if n in ("crane", "bat", "bird") else ())
        for n in names
    ]
    first = {p.foreign.key: (p.wnids, p.confidence) for p in propose(classes)}
    for seed in range(3):
        random.Random(seed).shuffle(classes)
        assert {p.foreign.key: (p.wnids, p.confidence) for p in propose(classes)} == first


def test_most_of_coco_and_voc_is_found_by_name_alone() -> None:
    """The packaged maps were made by hand; where they differ, they mean other than the usual."""
    for name, least in (("coco", 70), ("voc", 15)):
        table = packaged_label_map(name)
        classes = [ForeignClass(label, (label,)) for label in table.labels]
        found = propose(classes, frozenset(released_taxonomy().keys))
        right = sum(p.wnids == (table.lookup(p.foreign.key),) for p in found)
        assert right >= least, (name, right)
