"""What the parts of a divided run leave under DB/staging until a run with `--merge` takes it.

    DB/staging/pack-2-of-8/part.json    what the part worked on, and which tasks it has done
    DB/staging/pack-2-of-8/...          their results

Only what `part.json` names counts, and it is replaced as a whole: a part that is killed and begun
again goes on with its next task, and what it left unnamed is no result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part, missing
from mlimages.storage import service_errors, write_text

if TYPE_CHECKING:
    from mlimages.manifest import Manifest
    from mlimages.storage import AnyPath

STAGING = "staging"
_RECORD = "part.json"
_NAME = re.compile(r"(\w+)-(\d+)-of-(\d+)")


class PartFolder:
    """The results of one part of a stage.

    Attributes:
        part: which one.
        name: of the folder, within the database.
        inputs: what it works on, with a `fingerprint` as "database", and options: results count
            only together with those of the same inputs.
        done: result of each task by name; small, plain values.
    """

    def __init__(self, root: AnyPath, stage: str, part: Part) -> None:
        self.root, self.stage, self.part = root, stage, part
        self.name = f"{STAGING}/{stage}-{part.name}"
        self.inputs: dict[str, Any] = {}
        self.done: dict[str, Any] = {}
        self.finished = False

    @property
    def path(self) -> AnyPath:
        """Where the results lie."""
        return self.root / self.name

    def begin(self, inputs: dict[str, Any]) -> None:
        """Go on with what an earlier run did from the same inputs; forget it if from others."""
        inputs = json.loads(json.dumps(inputs))
        self.load()
        if self.inputs != inputs:
            self.remove()
            self.inputs, self.done = inputs, {}
        self.finished = False
        self._save()

    def mark(self, task: str, result: Any) -> None:
        """Have a task's result count from now on."""
        self.done[task] = result
        self._save()

    def finish(self) -> None:
        """Say that all tasks of the part are done."""
        self.finished = True
        self._save()

    def load(self) -> bool:
        """Read what is there; whether anything is.

        Raises:
            DatabaseError: the record is damaged.
        """
        path = self.path / _RECORD
        try:
            with service_errors(path):
                content = json.loads(path.read_text(encoding="utf-8"))
            self.inputs, self.done = content["inputs"], content["done"]
            self.finished = bool(content["finished"])
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError) as error:
            raise DatabaseError(path, f"damaged ({error})", "remove its folder") from None
        return True

    def sweep(self, kept: Collection[str]) -> None:
        """Remove files that no task in `done` accounts for.

        Args:
            kept: what the names of the others begin with, up to the first dot.
        """
        with service_errors(self.path):
            for path in self.path.glob("*"):
                if path.name != _RECORD and path.name.partition(".")[0] not in kept:
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder; its record first, so that no half of it counts."""
        with service_errors(self.path):
            (self.path / _RECORD).unlink(missing_ok=True)
            for path in self.path.glob("*"):
                path.unlink(missing_ok=True)
            if self.path.is_dir():
                self.path.rmdir()

    def _save(self) -> None:
        content = {"inputs": self.inputs, "done": self.done, "finished": self.finished}
        write_text(self.path / _RECORD, json.dumps(content, indent=1, sort_keys=True) + "\n")


@contextmanager
def all_parts(
    root: AnyPath, stage: str, databases: Collection[str], command: str
) -> Iterator[list[PartFolder]]:
    """Every part of a stage, finished and from the same inputs; removed when the block ends well.

    Args:
        root: of the database.
        stage: whose parts.
        databases: one of which the inputs' "database" has to be, for results to be of use still.
        command: that runs a part, for errors, such as "mlimages pack DB".

    Raises:
        DatabaseError: a part is missing, unfinished, or worked on something else.
    """
    folders = _folders(root, stage)
    if not folders:
        raise DatabaseError(root, f"no part of {stage} was run", f"run: {command} --part 1/2 ...")
    if len(counts := sorted({folder.part.count for folder in folders})) > 1:
        cause = f"holds parts of {stage} divided by {' and by '.join(map(str, counts))}"
        raise DatabaseError(root / STAGING, cause, "remove the folders that are not wanted")
    begun = [folder.part for folder in folders if not folder.finished]
    for parts, how in (
        (missing(folder.part for folder in folders), "missing"),
        (begun, "not finished"),
    ):
        if parts:
            listed = ", ".join(map(str, parts[:8])) + (", ..." if len(parts) > 8 else "")
            cause = f"{'parts' if len(parts) > 1 else 'part'} {listed} of {stage} {how}"
            raise DatabaseError(root, cause, f"run: {command} --part {parts[0]}")
    for folder in folders:
        if folder.inputs["database"] not in databases:
            cause = f"the database has changed since part {folder.part} of {stage} was run"
            raise DatabaseError(root, cause, f"run: {command} --part {folder.part}")
        if folder.inputs != folders[0].inputs:
            cause = f"parts {folders[0].part} and {folder.part} of {stage} had different options"
            raise DatabaseError(root, cause, "run one of them again")
    yield folders
    for folder in folders:
        folder.remove()


def fingerprint(manifest: Manifest, tables: Iterable[str]) -> str:
    """A hash that changes with any file of some tables."""
    digest = hashlib.sha256()
    for name in tables:
        for entry in manifest.files.get(name, []):
            digest.update(f"{name} {entry.path} {entry.sha256}\n".encode())
    return digest.hexdigest()


def _folders(root: AnyPath, stage: str) -> list[PartFolder]:
    folders = []
    with service_errors(root):
        names = sorted(path.name for path in (root / STAGING).glob(f"{stage}-*-of-*"))
    for name in names:
        found = _NAME.fullmatch(name)
        if found is not None and found[1] == stage:
            folder = PartFolder(root, stage, Part(int(found[2]), int(found[3])))
            if folder.load():
                folders.append(folder)
    return folders
