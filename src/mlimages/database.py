"""The database: one directory that ties taxonomy, labels and images together.

    db = Database.create("DB", released_taxonomy())
    db.add(imagenet.read("train/", db.taxonomy))   # facts: what a source said
    db.complete(Rules())                           # tags: what follows from the facts
    db.pack()                                      # shards: the images' bytes
    db.select(split="train")                       # rows and tags to train on

The work itself is done by pure functions in `labels` and `images`; here their results are read from
and committed to the directory described in docs/database.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from mlimages.checking import CheckReport, check_store, tags_are_current
from mlimages.completion import complete
from mlimages.divided_runs import DividedRuns
from mlimages.errors import DatabaseError, InputError
from mlimages.execution.run import Engine
from mlimages.images.duplicates import Closeness, DuplicatesReport
from mlimages.images.duplicates.leaks import TRAIN, LeaksReport
from mlimages.images.duplicates.outside import Outside
from mlimages.images.duplicates.storing import find_leaks, merge_copies, restore_leaks
from mlimages.images.ledger.checks import check_ledger
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.report import LedgerReport, report_ledger
from mlimages.images.ledger.survivors import Survivors, count_survivors
from mlimages.images.packing import dividing as packed_parts
from mlimages.images.packing.packing import pack_store
from mlimages.images.packing.settings import PackSettings
from mlimages.images.shard_cache import ShardCache
from mlimages.images.shards import ShardReader, open_reader
from mlimages.importing import start, take_in
from mlimages.labels.checks.reconciliation import reconcile
from mlimages.labels.derivation import explanation
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.exports.exporting import ExportReport
from mlimages.labels.exports.view import TagChoice
from mlimages.labels.hashing import dividing, hashes
from mlimages.labels.quality.examining import QualityReport, examine
from mlimages.labels.removals import (
    RemovalReport,
    add_removals,
    describe_removals,
    is_removed,
    undo_removals,
)
from mlimages.labels.splits.splitting import SplitReport, split_images
from mlimages.labels.statistics.summary import Statistics, compute
from mlimages.labels.streams import Readings
from mlimages.manifest import PARTITION_ROWS
from mlimages.publishing import publish
from mlimages.reports import CompletionReport, ImportReport, PackReport
from mlimages.selection import KnownAbsences, Part, Selection, known_absences, select
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy

if TYPE_CHECKING:
    from mlimages.images.fetching.fetch_settings import FetchSettings
    from mlimages.images.fetching.plan import FetchPlan
    from mlimages.images.fetching.recheck import RecheckReport
    from mlimages.images.fetching.report import FetchReport
    from mlimages.storage import AnyPath


class Database:
    """A database directory, open at its newest generation."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, root: AnyPath | str) -> Database:
        """Open a database; raises DatabaseError when `root` holds none."""
        return cls(Store.open(root))

    @classmethod
    def create(
        cls, root: AnyPath | str, taxonomy: Taxonomy, partition_rows: int = PARTITION_ROWS
    ) -> Database:
        """Create an empty database of a vocabulary.

        Args:
            root: a new or empty folder, or a URL.
            taxonomy: its vocabulary.
            partition_rows: images of a partition; what is derived of one needs no other in memory.

        Raises:
            DatabaseError: `root` is a database already, or holds other files.
        """
        store = Store.create(root, partition_rows)
        with store.commit("create") as commit:
            start(commit, taxonomy)
        return cls(store)

    @classmethod
    def create_from(
        cls, root: AnyPath | str, taxonomy: Taxonomy, readings: Readings, *, strict: bool = False
    ) -> tuple[Database, ImportReport]:
        """Create a database with its first reading, or stream, in one commit: both or neither."""
        store = Store.create(root)
        with store.commit("import") as commit:
            start(commit, taxonomy)
            report = take_in(commit, readings, strict=strict)
        return cls(store), report

    @property
    def root(self) -> AnyPath:
        """The directory."""
        return self.store.root

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The vocabulary with its hierarchies."""
        return Taxonomy.from_tables(self.store.table("categories"), self.store.table("hierarchy"))

    @property
    def parts(self) -> DividedRuns:
        """Stages run part by part, anywhere, and put together afterwards."""
        return DividedRuns(self.store)

    @property
    def rules(self) -> Rules:
        """The rules its tags were derived by; raises DatabaseError without current tags."""
        if "rules" not in self.store.manifest.info:
            raise DatabaseError(self.root, "has no tags yet", "run: mlimages complete DB")
        if not tags_are_current(self.store.manifest):
            raise DatabaseError(
                self.root, "its tags are older than its facts", "run: mlimages complete DB"
            )
        return Rules(**self.store.manifest.info["rules"])

    def add(self, readings: Readings, *, strict: bool = False) -> ImportReport:
        """Take in what a source said: a reading, or a stream of them, in one commit.

        Facts are only ever added; tags are derived by `complete`. With `strict` the first reject is
        an error, and nothing is added. Raises as `take_in` does.
        """
        with self.store.commit("import") as commit:
            return take_in(commit, readings, strict=strict)

    def complete(
        self, rules: Rules | None = None, predictions: pa.Table | Path | str | None = None
    ) -> CompletionReport:
        """Derive all tags from the facts: one pure function of (facts, taxonomy, rules).

        Partitions of which no input changed keep their tags.

        Args:
            rules: thresholds and the hierarchy; the defaults are the paper's.
            predictions: schemas.PREDICTIONS of the single-label part, from `mlimages predict`, or
                the path of that file; without them, and unless the rules count co-occurrence from
                tags, only ancestors are added.
        """
        rules = rules or Rules()
        hierarchy = self.taxonomy.hierarchy(rules.hierarchy)
        with self.store.commit("complete") as commit:
            if not self.store.num_rows("images"):
                raise DatabaseError(self.root, "holds no images", "run: mlimages import")
            return complete(commit, hierarchy, rules, predictions)

    def pack(
        self,
        settings: PackSettings | None = None,
        *,
        engine: Engine = "local",
        workers: int | None = None,
        address: str | None = None,
        **options: Any,
    ) -> PackReport:
        """Pack the images' bytes into shards; see `images.packing.packing.pack_store`.

        Args:
            settings: the form of images and shards.
            engine, workers, address: what does the work; see `execution.run`.
            options: of `pack_store`.
        """
        blocks = packed_parts.blocks_on(engine, workers, address)
        return pack_store(self.store, settings, workers=workers, blocks=blocks, **options)

    def fetch(
        self,
        settings: FetchSettings | None = None,
        *,
        engine: Engine = "local",
        address: str | None = None,
        **options: Any,
    ) -> FetchReport:
        """Fetch the images' bytes by their addresses; see `images.fetching.storing.fetch_store`.

        Args:
            settings: how addresses are tried.
            engine, address: what does the work; see `execution.run`.
            options: of `fetch_store`; on Ray `workers` are tasks at once, and have to be given.
        """
        from mlimages.images.fetching.dividing import images_on
        from mlimages.images.fetching.storing import fetch_store

        return fetch_store(self.store, settings, images_on=images_on(engine, address), **options)

    def recheck(self, settings: FetchSettings | None = None) -> RecheckReport:
        """Drop fetched images that have opted out since; see `images.fetching.recheck`."""
        from mlimages.images.fetching.recheck import recheck_store

        return recheck_store(self.store, settings)

    def plan_fetch(self, settings: FetchSettings | None = None) -> FetchPlan:
        """What `fetch` would do, without asking any host; see `images.fetching.plan`."""
        from mlimages.images.fetching.fetch_settings import FetchSettings
        from mlimages.images.fetching.plan import plan_fetch

        return plan_fetch(self.store, settings or FetchSettings())

    def select(
        self, split: str | None = None, part: Part = "all", packed: bool = True
    ) -> Selection:
        """Choose images with their tags.

        Args:
            split: name of a split, or None for all.
            part: "single" for images that only single-label sources (as ImageNet) annotated,
                "multi" for the others, "all" for both.
            packed: only images whose bytes are in a shard.

        Raises:
            DatabaseError: there are no tags yet, or no image is left.
        """
        _ = self.rules
        return select(self.store, split, part, packed)

    def absences(self, selection: Selection) -> KnownAbsences:
        """What is known not to be in chosen images: said of them, or left unsaid by a source that
        names all of a category's images. Everything else without a tag is unknown.
        """
        return known_absences(self.store, selection.rows)

    def reader(self, cache: ShardCache | None = None) -> ShardReader:
        """Random access to the packed images' bytes by row; removed images are not in it.

        Args:
            cache: keeps on this machine what is read of a database in an object store.
        """
        return open_reader(self.store, cache=cache)

    def row_of(self, image: str) -> int:
        """Row of an image by its id; raises InputError when there is none, or it is removed."""
        for partition in self.store.partitions():
            ids = self.store.table("images", ["id"], partition)["id"]
            place = pc.index(ids, image).as_py()
            if place >= 0:
                row = partition * self.store.manifest.partition_rows + place
                if is_removed(self.store, row):
                    raise InputError(image, "removed on request", "see: mlimages remove DB")
                return row
        raise InputError(image, "no image of this id", f"see {self.root}/images")

    def explain(self, image: str) -> explanation.Explanation:
        """Every support of each tag of an image, by its id; only its partition is read."""
        return explanation.explain_stored(self.store, self.row_of(image), self.taxonomy, self.rules)

    def statistics(self) -> Statistics:
        """The paper's table and the data of its figures."""
        hierarchy = self.taxonomy.hierarchy(self.rules.hierarchy)
        return compute(self.store, self.taxonomy, hierarchy)

    def quality(
        self,
        predictions: dataset.Dataset | None = None,
        *,
        limit: int = 50,
        include_sensitive: bool = False,
    ) -> QualityReport:
        """Contradictions, improbable pairs and, by predictions, doubtful and missing tags."""
        hierarchy = self.taxonomy.hierarchy(self.rules.hierarchy)
        return examine(
            self.store,
            self.taxonomy,
            hierarchy,
            predictions,
            limit=limit,
            include_sensitive=include_sensitive,
        )

    def ledger_report(self, hosts: int = 10) -> LedgerReport:
        """What became of every candidate URL, by state and host, of this instant."""
        return report_ledger(Ledger.open(self.store), hosts)

    def survivors(self, *, include_sensitive: bool = False) -> Survivors:
        """Images of each category, listed and in shards; raises DatabaseError without tags."""
        _ = self.rules
        return count_survivors(self.store, self.taxonomy, include_sensitive=include_sensitive)

    def remove(
        self, entries: Sequence[dict[str, Any]] = (), *, undo: bool = False
    ) -> RemovalReport:
        """Leave images out from now on, because somebody asked for it; see `labels.removals`.

        Their bytes leave the shards when these are rewritten next. Without entries, the list.

        Args:
            entries: made by `removals.entry`, or read by `removals.read_list`.
            undo: take them out of the list instead.
        """
        if not entries:
            return describe_removals(self.store)
        with self.store.commit("remove") as commit:
            return (undo_removals if undo else add_removals)(commit, entries)

    def merge_duplicates(
        self, undo: bool = False, closeness: Closeness | None = None
    ) -> DuplicatesReport:
        """Let one image stand for its copies, with the facts of all; see images.duplicates.

        What an earlier call did is undone first. Tags are to be derived again afterwards.

        Args:
            undo: only undo.
            closeness: also merge images that show the same photo, as alike as this says.
        """
        return merge_copies(self.store, undo, closeness)

    def find_leaks(
        self,
        outside: Outside,
        closeness: Closeness | None = None,
        *,
        split: str = TRAIN,
        remove: bool = False,
    ) -> tuple[pa.Table, LeaksReport]:
        """Find pictures of another set among the images of a split and of none.

        Args:
            outside: `open_outside` of a folder or another database.
            closeness: how alike pictures must be.
            split: the images that are compared.
            remove: put the images aside, so that nothing selects or counts them.

        Returns:
            schemas.LEAKS, and the report.
        """
        return find_leaks(self.store, outside, closeness, split, remove)

    def restore_leaks(self) -> int:
        """Bring back every image that `find_leaks` put aside; returns how many."""
        return restore_leaks(self.store)

    def split(
        self, validation: float, seed: int = 0, minimum: int = 1, keep: Sequence[str] = ()
    ) -> SplitReport:
        """Deal images out to train and validation anew, each category by its share.

        See `labels.splits.splitting.split_images`. Raises DatabaseError without current tags.
        """
        _ = self.rules
        with self.store.commit("split") as commit:
            table, report = split_images(
                self.store, len(self.taxonomy), validation, seed, minimum, keep
            )
            commit.replace("splits", table)
        return report

    def export(
        self, format: str, out: Path | str, *, tags: TagChoice = "all", **options: Any
    ) -> ExportReport:
        """Write the database in another tool's format, into a new folder; see `publishing`."""
        return publish(self.store, self.taxonomy, format, out, tags=tags, **options)

    def hash(self, **where: Any) -> hashes.DatabaseHash:
        """Hashes of what the database says, the same for all who hold the same.

        Args:
            where: engine, workers and address: what does the work; see `execution.run`.
        """
        return dividing.hash_store(self.store, **where)

    def compare(self, other: Database) -> hashes.Comparison:
        """Which tables of two databases differ, and the first images that do."""
        return hashes.compare(self.store, other.store)

    def check(self) -> CheckReport:
        """Verify checksums, that all counts reconcile, and every row of the tables of labels."""
        report = check_store(self.store)
        if any(name == "files" and not good for name, good, _ in report.checks):
            return report
        checks = report.checks + reconcile(self.store, self.taxonomy) + check_ledger(self.store)
        return CheckReport(all(good for _, good, _ in checks), checks)
