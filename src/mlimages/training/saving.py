"""Writing a run's checkpoints beside the training, one at a time, and knowing the best.

RUN/best.json names the checkpoint with the greatest macro mAP on the validation split so far; it
stays when newer ones push older ones out.
"""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlimages.storage import write_text
from mlimages.training.checkpoint import Tensors, checkpoint_folder, write_checkpoint

BEST = "best.json"


@dataclass(frozen=True)
class Best:
    """The best model so far.

    Attributes:
        step: updates it has had.
        map_macro: macro mAP on the validation split.
    """

    step: int
    map_macro: float


class Saver:
    """Writes checkpoints of a run.

    Args:
        run: the run's folder.
        model: content of model.json.
        keep: newest checkpoints that stay.
        writes: False on ranks that leave it to the first one: nothing is done then.
    """

    def __init__(self, run: Path, model: dict[str, Any], keep: int, writes: bool) -> None:
        self.run, self.model, self.keep, self.writes = run, model, keep, writes
        self.best: Best | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)  # whatever ends the run: what is being written is sealed

    def save(self, state: dict[str, Any], weights: Tensors, training: Tensors) -> None:
        """Copy everything, and write the copy in another thread, after the checkpoint before.

        Args:
            state: content of state.json, with "step".
            weights, training: the tensors, which may change as soon as this returns.

        Raises:
            StorageError: of the checkpoint before; the older ones are intact.
        """
        if not self.writes:
            return
        self.finish()
        best = self.best
        state = {**state, "best": asdict(best) if best else None}
        copies = _copied(weights), _copied(training)
        self._writing = self._pool.submit(self._write, state, copies, best)

    def finish(self) -> Path | None:
        """Wait until the last checkpoint is sealed, and return its folder.

        Raises:
            StorageError: it could not be written.
        """
        return self._writing.result() if self._writing is not None else None

    def check(self) -> None:
        """Raise the error of a checkpoint that has failed in the meantime."""
        if self._writing is not None and self._writing.done():
            self._writing.result()

    def consider(self, step: int, map_macro: float | None) -> bool:
        """Note a measure; returns whether it is the best so far (NaN and None never are)."""
        if map_macro is None or not map_macro > (self.best.map_macro if self.best else -1.0):
            return False
        self.best = Best(step, map_macro)
        return True

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Take back what the state.json of a run that continues says of the best."""
        self.best = Best(**saved) if saved else None
        self.name_best()

    def name_best(self) -> None:
        """Write best.json, or remove one that speaks of updates which were lost."""
        if not self.writes:
            return
        if self.best is None:
            (self.run / BEST).unlink(missing_ok=True)
            return
        folder = checkpoint_folder(self.run, self.best.step)
        record = {"checkpoint": str(folder.relative_to(self.run)), **asdict(self.best)}
        write_text(self.run / BEST, json.dumps(record, indent=1) + "\n")

    def _write(
        self, state: dict[str, Any], tensors: tuple[Tensors, Tensors], best: Best | None
    ) -> Path:
        step = best.step if best else None
        weights, training = tensors
        folder = write_checkpoint(self.run, self.model, weights, state, training, self.keep, step)
        if best is not None and best.step == state["step"]:
            self.name_best()
        return folder


def _copied(tensors: Tensors) -> Tensors:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
