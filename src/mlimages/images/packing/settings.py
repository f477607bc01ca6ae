"""How a database is packed: fixed by its first shard, recorded, and the same ever after."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mlimages.errors import DatabaseError, InputError
from mlimages.images.packing.writer import SHARD_BYTES
from mlimages.images.settings import ImageSettings
from mlimages.store import Commit, Store

BLOCK_ROWS = 16_384
_KEY = "pack"
# What decides the bytes of the shards. Limits may change: they decide only which images get in.
_IMAGE_FORM = (
    *("resize", "side", "only_if_bigger", "interpolation"),
    *("format", "quality", "strip_metadata"),
)


@dataclass(frozen=True)
class PackSettings:
    """The form of images and of shards.

    Attributes:
        images: how each is checked and kept.
        shard_bytes: size at which a shard is sealed; a single larger image gets its own.
        block_rows: images of a block; no shard holds images of two, so blocks can be packed
            anywhere and in any order.
    """

    images: ImageSettings = field(default_factory=ImageSettings)
    shard_bytes: int = SHARD_BYTES
    block_rows: int = BLOCK_ROWS

    def __post_init__(self) -> None:
        if self.shard_bytes < 1024:
            cause = f"{self.shard_bytes} bytes is too small"
            raise InputError("shard size", cause, "use 1,024 or more")
        if self.block_rows < 1:
            raise InputError("rows of a block", f"{self.block_rows} is none", "use 1 or more")

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PackSettings:
        """The inverse of `to_dict`."""
        return cls(**{**values, "images": ImageSettings.from_dict(values["images"])})


def recorded(store: Store) -> PackSettings | None:
    """The settings that a database is packed with, if it is."""
    values = store.manifest.info.get(_KEY)
    return PackSettings.from_dict(values) if values else None


def agreed(store: Store, wanted: PackSettings | None) -> PackSettings:
    """The settings to pack with: those recorded, with the limits that are wanted now.

    Raises:
        DatabaseError: images were packed in another form before.
    """
    before = recorded(store)
    if before is None or wanted is None:
        return wanted or before or PackSettings()
    old = {**before.to_dict(), **before.images.to_dict()}
    new = {**wanted.to_dict(), **wanted.images.to_dict()}
    if store.num_rows("shards/index"):
        for name in (*_IMAGE_FORM, "shard_bytes", "block_rows"):
            if old[name] != new[name]:
                way = "leave the option out"
                if name == "shard_bytes":
                    way += ", or change it for all with: mlimages shards rewrite DB"
                raise DatabaseError(
                    store.root,
                    f"was packed with {name.replace('_', ' ')} {old[name]}, not {new[name]}",
                    way,
                )
    return wanted


def record(commit: Commit, settings: PackSettings) -> None:
    """Keep the settings with the generation that is being written."""
    commit.info[_KEY] = settings.to_dict()


def altered(
    settings: PackSettings | None, images: dict[str, Any], **options: int | None
) -> PackSettings:
    """Settings with some of them changed.

    Args:
        settings: those to start from; the defaults without them.
        images: new values of `ImageSettings`; None leaves one as it is.
        options: new values of the other settings, likewise.

    Raises:
        InputError: a value is out of range.
    """
    settings = settings or PackSettings()
    changed = {name: value for name, value in images.items() if value is not None}
    others: dict[str, Any] = {name: v for name, v in options.items() if v is not None}
    return replace(settings, images=replace(settings.images, **changed), **others)
