"""The questions, and the arms that answer each: what is trained on what, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass

SEEDS = 3
RATE_FACTORS = (1 / 3, 1.0, 3.0)  # of the recipe's learning rate
SWEEP_SHARE = 1 / 4  # of the epochs
SWEEP_SEED = 1000  # none of the rows'
IMAGES_PER_CLASS, SPLITS = 15, 5  # of the probe, as the quickstart's


@dataclass(frozen=True)
class Arm:
    """One line of a question's table.

    Attributes:
        question: "a" to "d".
        name: of its recipe in recipes/evidence, but for "none" and question c.
        label: what the table calls it.
        database: what it trains on; see `databases.py`.
    """

    question: str
    name: str
    label: str
    database: str = ""


ARMS = (
    Arm("c", "photos", "tiny-imagenet, by a teacher of COCO128 and VOC 2012"),
    Arm("c", "scenes", "drawn scenes, by a teacher of theirs"),
    Arm("a", "single", "single labels", "single"),
    Arm("a", "completed", "completed multi-label tags", "photos-0"),
    Arm("a", "none", "no pretraining"),
    Arm("b", "paper", "paper", "long-tail"),
    Arm("b", "bce", "cross-entropy", "long-tail"),
    Arm("b", "asymmetric", "asymmetric", "long-tail"),
    Arm("b", "selective", "selective", "long-tail"),
    Arm("d", "closed-world", "closed-world: unknown is absent", "removed"),
    Arm("d", "three-valued", "three-valued: unknown is left out", "removed"),
)
QUESTIONS = {
    "a": "Completed multi-label tags, single labels, no pretraining",
    "b": "The losses on a long tail",
    "c": "Co-occurrence tags",
    "d": "Three-valued and closed-world negatives, half of the tags removed",
}
BY_FREQUENCY = {"map_macro": "mAP", "head": "head", "middle": "middle", "tail": "tail"}
# By question, the measures and what the table calls them; shares in [0, 1] are shown in percent.
MEASURES = {
    "a": {"accuracy": "Caltech-101 accuracy"},
    "b": BY_FREQUENCY,
    "c": {
        "probable": "probable predictions",
        "pairs": "pairs",
        "tags": "tags added",
        "precision": "precision of tags",
        "recall": "recall of tags",
        "pair_precision": "precision of pairs",
        "pair_recall": "recall of pairs",
    },
    "d": BY_FREQUENCY,
}
COUNTS = ("probable", "pairs", "tags")


def arms_of(questions: str) -> list[Arm]:
    """The arms of some questions, in the order in which they are run."""
    return [arm for arm in ARMS if arm.question in questions]


def row_name(arm: Arm, seed: int) -> str:
    """What the log calls a row."""
    return f"row {arm.question} {arm.name} {seed}"


def rate_name(arm: Arm, rate: float) -> str:
    """What the log calls a run of the sweep."""
    return f"rate {arm.name} {rate:g}"
