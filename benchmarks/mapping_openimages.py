"""Mapping the 19,996 Open Images classes: coverage by confidence, and two judged samples of 200.

The first sample judged an earlier version, and led to a change of it; the second judges the present
one, so only the second is compared with today's proposals. The verdicts, and how they were made:
tests/taxonomy/data/openimages_mapping_verdicts.tsv. Precision leaves out `unsure`; `low` and
`high` are Wilson's 95 % interval.

The files: MLIMAGES_DATA or ../shared/data, metadata/openimages_*.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Sequence

from harness import Outcome, main, real_data
from mapping_data import Judged, read_verdicts

from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.proposals.foreign import (
    read_classes,
    read_openimages_hierarchy,
    with_parents,
)
from mlimages.taxonomy.proposals.proposing import HIGH_CONFIDENCE, MINIMUM_CONFIDENCE, propose

SAMPLE_SIZE = 200


def agreement(judged: Sequence[Judged]) -> tuple[float, float]:
    """(raw, Cohen's kappa) agreement of the two verdicts."""
    raw = sum(one.verdict_a == one.verdict_b for one in judged) / len(judged)
    a = Counter(one.verdict_a for one in judged)
    b = Counter(one.verdict_b for one in judged)
    chance = sum(a[verdict] * b[verdict] for verdict in a) / len(judged) ** 2
    return raw, (raw - chance) / (1 - chance)


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return centre - half, centre + half


def parts(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """The sample by what the mapping table says."""
    given = [one for one in judged if one.wnid != "-"]
    mapped = [one for one in given if one.confidence >= MINIMUM_CONFIDENCE]
    sure = [one for one in mapped if one.confidence >= HIGH_CONFIDENCE]
    return {
        "any proposal": given,
        "mapped": mapped,
        "mapped, exact": [one for one in mapped if one.relation == "exact"],
        "mapped, exact, sure": [one for one in sure if one.relation == "exact"],
        "mapped, broader": [one for one in mapped if one.relation == "broader"],
        "mapped, broader, sure": [one for one in sure if one.relation == "broader"],
        "below the threshold": [one for one in given if one.confidence < MINIMUM_CONFIDENCE],
    }


def judge(judged: Sequence[Judged]) -> dict[str, float]:
    """The figures of the sample, by judge."""
    raw, kappa = agreement(judged)
    figures = {"agreement, raw": raw, "agreement, kappa": kappa}
    for judge_name in ("a", "b"):
        verdicts = {one.key: getattr(one, f"verdict_{judge_name}") for one in judged}
        for part, members in parts(judged).items():
            found = [verdicts[one.key] for one in members if verdicts[one.key] != "unsure"]
            right = found.count("right")
            low, high = wilson(right, len(found))
            figures[f"precision {judge_name}, {part}"] = right / len(found)
            figures[f"precision {judge_name}, {part}, low"] = low
            figures[f"precision {judge_name}, {part}, high"] = high
            figures[f"number {judge_name}, {part}"] = len(found)
        none = [verdicts[one.key] for one in judged if one.wnid == "-"]
        figures[f"nothing proposed, rightly, {judge_name}"] = none.count("no synset exists") / len(
            none
        )
    return figures


def draw(number: int) -> list[int]:
    """The second sample: 200 of the classes that the first did not hold."""
    first = random.Random(3).sample(range(number), SAMPLE_SIZE)
    return random.Random(4).sample(sorted(set(range(number)) - set(first)), SAMPLE_SIZE)


def measure(quick: bool) -> Outcome:
    """Map everything, count by confidence, and compare the judged sample with today's proposals."""
    outcome = Outcome()
    start = time.perf_counter()
    classes, rejected = read_classes(real_data("metadata/openimages_class_descriptions.csv"))
    parents = read_openimages_hierarchy(
        real_data("metadata/openimages_bbox_labels_600_hierarchy.json")
    )
    proposals = propose(with_parents(classes, parents), frozenset(released_taxonomy().keys))
    outcome.seconds["map"] = time.perf_counter() - start
    ratios = outcome.ratios
    ratios["classes"] = len(proposals)
    ratios["lines left out"] = len(rejected)
    for relation in ("exact", "broader"):
        for threshold in (0.3, MINIMUM_CONFIDENCE, 0.7, HIGH_CONFIDENCE, 0.95):
            above = [p for p in proposals if p.wnids and p.confidence >= threshold]
            share = sum(p.relation == relation for p in above) / len(proposals)
            ratios[f"coverage, {relation}, from {threshold}"] = share
    ratios["coverage, no proposal at all"] = sum(not p.wnids for p in proposals) / len(proposals)

    samples = {number: [j for j in read_verdicts() if j.sample == number] for number in (1, 2)}
    if [classes[i].key for i in draw(len(classes))] != [one.key for one in samples[2]]:
        raise SystemExit("error: the judged sample is not the drawn one")
    today = {one.foreign.key: one for one in proposals}
    same = [
        (today[one.key].wnids or ("-",)) == (one.wnid,)
        and (today[one.key].confidence >= MINIMUM_CONFIDENCE)
        == (one.confidence >= MINIMUM_CONFIDENCE)
        for one in samples[2]
    ]
    ratios["judged lines that are still the same"] = sum(same) / len(same)
    for number, judged in samples.items():
        ratios.update({f"sample {number}, {k}": value for k, value in judge(judged).items()})
    return outcome


if __name__ == "__main__":
    main("Mapping Open Images' classes", measure, ("numpy", "pyarrow"))
