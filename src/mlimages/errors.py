"""The one tree of exceptions. Each message names the thing, the cause and the next action."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class MlimagesError(Exception):
    """Base of every error a user can cause or meet.

    The command line prints `error: THING: CAUSE; ACTION` on one line and exits with `exit_code`.
    """

    exit_code = 1
    told_by_another = False  # of the processes of one run, which all end: print nothing

    def __init__(self, thing: object, cause: str, action: str) -> None:
        self.thing, self.cause, self.action = str(thing), cause, action
        super().__init__(f"{self.thing}: {cause}; {action}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.thing, self.cause, self.action)


class UsageError(MlimagesError):
    """The command line itself is wrong."""

    exit_code = 2


class InputError(MlimagesError):
    """A file, folder or value given by the user cannot be used."""


class UnknownCategoryError(InputError):
    """A category that the vocabulary does not hold."""


class CyclicHierarchyError(InputError):
    """A hierarchy in which a category is its own ancestor."""


class DatabaseError(MlimagesError):
    """A database that is missing, damaged, locked or not ready for the step."""


class StorageError(MlimagesError):
    """Writing failed: no space, no permission, or a broken device."""


class CheckpointError(MlimagesError):
    """A checkpoint that is missing, unsealed, damaged or of another kind."""


class RecipeError(InputError):
    """A recipe with an unknown key or a value out of range."""


class TrainingError(MlimagesError):
    """Training had to stop, for instance at a non-finite loss."""


class InterruptedTrainingError(TrainingError):
    """Training was asked to stop (Ctrl-C, SIGTERM); its state is saved."""

    exit_code = 130


class ExecutionError(MlimagesError):
    """Work on several workers that cannot be finished: a task on which they die, a lost cluster."""


class MissingExtraError(MlimagesError):
    """An optional dependency is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingExtraError: names the pip command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            module, "not installed", f"run: pip install 'mlimages[{extra}]'"
        ) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to a wrong one, or lists the first few."""
    candidates = list(known)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(candidates[:8])
    return f"known: {shown}{', ...' if len(candidates) > 8 else ''}"
