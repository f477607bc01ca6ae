"""Where on this machine the photos of a list are, for many lines at once."""

from __future__ import annotations

import functools
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.sources.files import PhotoFinder, names_in

LISTED_FROM = 64  # photos of one folder: for fewer, asking for each is faster than listing it


def uri_of(listed: str, downloads: PhotoFinder, photos: PhotoFinder) -> str | None:
    """Where the bytes of a listed photo are: on this machine, else at its URL, else nowhere.

    Args:
        listed: a URL, or a path.
        downloads: looks for what was downloaded of URLs.
        photos: looks for listed paths.
    """
    if "://" not in listed:
        return photos.find(listed)
    if not downloads.roots:
        return listed
    # The release's downloader joined the last two parts of the URL; its lists have the last.
    last_two = listed.partition("?")[0].split("/")[-2:]
    names = (last_two[-1], "_".join(last_two))
    return next(filter(None, map(downloads.find, names)), listed)


class ListedPhotos:
    """`uri_of` for whole columns: one look a folder, and none where there is no such folder.

    Args:
        downloads, photos: as for `uri_of`.
    """

    def __init__(self, downloads: PhotoFinder, photos: PhotoFinder) -> None:
        self._downloads, self._photos = downloads, photos
        self._folders = functools.lru_cache(maxsize=1 << 16)(self._find_folders)
        self._roots = tuple(map(str, photos.roots))
        self._root_names = pa.array(sorted(set().union(*map(names_in, self._roots))), pa.string())

    def uris(self, listed: pa.Array, is_url: NDArray[np.bool_]) -> pa.Array:
        """string [lines]: where the bytes of each photo are, null for nowhere.

        Args:
            listed: string [lines], URLs and paths.
            is_url: bool [lines], which of them are URLs.
        """
        if is_url.all() and not self._downloads.roots:
            return listed
        found: dict[int, str] = {}
        paths = np.flatnonzero(~is_url)
        if len(paths):
            found = self._find_paths(listed.take(pa.array(paths)), paths)
        if self._downloads.roots:
            for line in np.flatnonzero(is_url).tolist():
                found[line] = uri_of(listed[line].as_py(), self._downloads, self._photos) or ""
        uris = pc.if_else(pa.array(is_url), listed, pa.scalar(None, pa.string()))
        if not found:
            return uris
        lines = sorted(found)
        mask = np.zeros(len(listed), bool)
        mask[lines] = True
        here = pa.array([found[line] for line in lines], pa.string())
        return pc.replace_with_mask(uris, pa.array(mask), here)

    def _find_paths(self, listed: pa.Array, lines: NDArray[np.int64]) -> dict[int, str]:
        """Line -> path on this machine, of those that are there."""
        parts = pc.split_pattern(listed, "/", max_splits=1, reverse=True)
        ends = parts.offsets.to_numpy()
        without = pa.array(np.diff(ends) == 1)
        folders = pc.if_else(without, "", parts.values.take(pa.array(ends[:-1])))
        names = parts.values.take(pa.array(ends[1:] - 1))
        encoded = folders.dictionary_encode()
        codes = encoded.indices.to_numpy()
        found_in = [self._folders(folder) for folder in encoded.dictionary.to_pylist()]
        only_roots = np.array([folders == self._roots for folders in found_in])[codes]
        # Most listed folders are nowhere here: then a photo can only lie in a root itself.
        unusual = pc.or_(pc.starts_with(listed, "/"), pc.is_in(names, pa.array(["", ".", ".."])))
        unusual = unusual.to_numpy(zero_copy_only=False)
        in_root = pc.is_in(names, self._root_names).to_numpy(zero_copy_only=False)
        asked = np.flatnonzero(unusual | (only_roots & in_root))
        found = {line: self._photos.find(listed[line].as_py()) for line in asked.tolist()}
        rest = np.flatnonzero(~unusual & ~only_roots)
        for group in _groups(rest, codes[rest]):
            folders = found_in[codes[group[0]]]
            found |= _find_in(folders, names.take(pa.array(group)).to_pylist(), group.tolist())
        return {int(lines[line]): path for line, path in found.items() if path is not None}

    def _find_folders(self, folder: str) -> tuple[str, ...]:
        """Folders on this machine that a listed one may stand for, as `PhotoFinder.find` says."""
        parts = [part for part in folder.split("/") if part not in ("", ".")]
        if ".." in parts:
            return ()
        below = (os.path.join(r, *parts[n:]) for n in range(len(parts)) for r in self._photos.roots)
        return (*filter(os.path.isdir, below), *self._roots)


def _groups(positions: NDArray[np.int64], codes: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Positions of the same code together."""
    if len(positions) == 0:
        return []
    order = np.argsort(codes, kind="stable")
    return np.split(positions[order], np.flatnonzero(np.diff(codes[order])) + 1)


def _find_in(
    folders: tuple[str, ...], names: list[str], positions: list[int]
) -> dict[int, str | None]:
    """Position -> path of the photos that lie in one of these folders."""
    found: dict[int, str | None] = {}
    for folder in reversed(folders):  # the first one has the last word
        held = names_in(folder) if len(names) >= LISTED_FROM else None
        for name, position in zip(names, positions, strict=True):
            path = os.path.join(folder, name)
            if name in held if held is not None else os.path.isfile(path):
                found[position] = path
    return found
