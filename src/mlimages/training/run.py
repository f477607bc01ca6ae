"""The folder of a run: its recipe, log, checkpoints and result, and who may write to it.

RUN/
  recipe.toml      all settings, complete
  metrics.jsonl    one JSON object a line: "kind": "train", "evaluation" or "probe"
  metrics.csv, index.html, tensorboard/    the same for other readers, see logs.py
  checkpoints/     see checkpoint.py
  nan-capture/     the step of a non-finite loss, if there was one
  best.json        which checkpoint has the greatest macro mAP on the validation split
  result.json      written last: the run is finished
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic

from mlimages.errors import CheckpointError, InputError, RecipeError
from mlimages.storage import PARTIAL, storage_errors, write_text
from mlimages.training.distribution import Ranks
from mlimages.training.recipe import R, Recipe, RecipeFile

RECIPE, METRICS, RESULT, LOCK = "recipe.toml", "metrics.jsonl", "result.json", ".lock"
# What may change when a run continues. Nothing of it changes the weights, but for the device: its
# arithmetic rounds differently.
FREE_SETTINGS = (
    "name",
    "description",
    "expected",
    "checkpoint",
    "evaluation",
    "logging",
    "hardware.device",
    "hardware.log_seconds",
    "data.workers",
    "data.broken_limit",
)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run did.

    Attributes:
        run, checkpoint: its folder, and that of its last checkpoint.
        recipe: the recipe's name.
        steps, samples_seen, epochs: how far it went.
        images: of the training split.
        categories: outputs of the network.
        parameters: weights of the network.
        seconds, images_per_second, data_wait: of training, without evaluating and saving, and
            without what a killed session did after its last checkpoint.
        loss: mean of the last line of the log.
        broken: training images that could not be read, "row N: reason"; others took their place.
        best: step and map_macro of the best model by the validation split.
        probe: accuracies of classifiers on the network's features, if the recipe asks for them.
        evaluation: headline numbers of "model" and "baseline", or None without such a split.
    """

    run: str
    checkpoint: str
    recipe: str
    steps: int
    samples_seen: int
    epochs: float
    images: int
    categories: int
    parameters: int
    seconds: float
    images_per_second: float
    data_wait: float
    loss: float | None
    broken: list[str]
    evaluation: dict[str, Any] | None
    best: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None


class RunFolder(Generic[R]):
    """A run's folder, open for writing; on ranks that leave it to the first, writing does nothing.

    Args:
        path, recipe: of the run.
        writes: whether this is the process that writes.
    """

    def __init__(self, path: Path, recipe: R, writes: bool = True) -> None:
        self.path, self.recipe, self.writes = path, recipe, writes

    @property
    def result(self) -> TrainingResult | None:
        """What `finish` wrote, or None while the run is unfinished; raises CheckpointError."""
        path = self.path / RESULT
        if not path.is_file():
            return None
        try:
            return TrainingResult(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise CheckpointError(
                path, "is damaged", "remove it, and continue the run with --resume"
            ) from None

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        if not self.writes:
            return
        path = self.path / METRICS
        with storage_errors(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(record)) + "\n")

    def forget_after(self, step: int) -> None:
        """Remove the log's lines of updates that a resumed run is going to repeat."""
        path = self.path / METRICS
        if not self.writes or not path.is_file():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the line that a killed process was writing
            if record.get("step", 0) <= step:
                kept.append(line)
        write_text(path, "".join(line + "\n" for line in kept))

    def finish(self, result: Any) -> None:
        """Write result.json: from now on the run counts as finished."""
        if self.writes:
            write_text(self.path / RESULT, json.dumps(_plain(asdict(result)), indent=1) + "\n")


@contextmanager
def open_run(
    path: Path,
    recipe: R | None,
    resume: bool,
    kind: type[R] = Recipe,  # type: ignore[assignment]
) -> Iterator[RunFolder[R]]:
    """Start a run in a new folder, or continue one, as its only writer.

    Args:
        path: the run's folder.
        recipe: None takes the recipe of the run that is continued.
        resume: whether an existing run may be continued (a missing one is started).
        kind: of recipe.

    Raises:
        InputError: the folder holds something else, a run without `resume`, or is in use.
        RecipeError: `recipe` differs from that of the run in what decides its weights.
        StorageError: the folder is not writable.
    """
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file", "choose a new folder")
    existing = (path / RECIPE).is_file()
    # A start that failed, for instance for want of a split, leaves a recipe and nothing else.
    begun = path.is_dir() and not _is_fresh(path)
    if begun and not existing:
        raise InputError(path, "is not empty and holds no run", "choose a new folder")
    if begun and not resume:
        if (path / RESULT).is_file():
            raise InputError(
                path, "holds a finished run", "choose a new folder (--resume shows it)"
            )
        raise InputError(
            path, "holds an unfinished run", "add --resume to continue it, or choose a new folder"
        )
    with _only_writer(path):
        if begun:
            recipe = _continued(path, recipe, kind)
        elif existing and recipe is None:
            recipe = kind.read(path / RECIPE)
        elif recipe is None:
            raise InputError(path, "holds no run to continue", "name a recipe to start one")
        write_text(path / RECIPE, recipe.to_toml())
        yield RunFolder(path, recipe)


@contextmanager
def open_on_all(
    path: Path,
    recipe: R | None,
    resume: bool,
    ranks: Ranks,
    kind: type[R] = Recipe,  # type: ignore[assignment]
) -> Iterator[RunFolder[R]]:
    """`open_run` by the first rank, for all of them; its errors end all."""
    with ExitStack() as stack:
        opened = ranks.together(
            lambda: (
                stack.enter_context(open_run(path, recipe, resume, kind))
                if ranks.is_first
                else None
            )
        )
        agreed = ranks.share(opened.recipe if opened else kind())
        yield opened or RunFolder(path, agreed, writes=False)


def saved_recipe(path: Path) -> Recipe | None:
    """The recipe of the run in a folder, or None where there is no run."""
    return Recipe.read(path / RECIPE) if (path / RECIPE).is_file() else None


def _continued(path: Path, recipe: R | None, kind: type[R]) -> R:
    saved = kind.read(path / RECIPE)
    if recipe is None:
        return saved
    old, new = _deciding(saved), _deciding(recipe)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise RecipeError(
                f"{path / RECIPE}: {key}",
                f"the run was started with {old.get(key)!r}, not {new.get(key)!r}",
                "leave it as it was, or choose a new folder",
            )
    return recipe


def _deciding(recipe: RecipeFile) -> dict[str, Any]:
    """The settings that decide a run's weights, under flat names."""
    flat: dict[str, Any] = {}
    for key, value in recipe.to_dict().items():
        inner = value.items() if isinstance(value, dict) else [(None, value)]
        for name, item in inner:
            full = key if name is None else f"{key}.{name}"
            if key not in FREE_SETTINGS and full not in FREE_SETTINGS:
                flat[full] = item
    return flat


def _plain(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_fresh(path: Path) -> bool:
    """Whether a folder is empty, or was left by a process that ended before its first update."""
    return all(
        item.name in (LOCK, RECIPE) or item.name.endswith(PARTIAL) for item in path.iterdir()
    )


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / LOCK, "a", encoding="utf-8")  # noqa: SIM115 - outlives this block
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(path, "another process trains there", "wait until it ends") from None
        yield
