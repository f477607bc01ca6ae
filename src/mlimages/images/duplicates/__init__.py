"""Images that are stored more than once, under several ids or synsets.

Two images are the same when their sources give both the same MD5 (and no different length), when
both are packed and their bytes are equal, or, if asked for, when both show the same photo
(`perceptual`). One image of each group is kept (`ranking`: the largest first). It gets what sources
said of the others, as facts of kind `duplicate` (`merging`); the others keep their own facts, and
nothing counts or selects them. Nothing is removed, so undoing is exact.

`leaks` finds photos of another set among the images, so that none is trained on that is tested on.
"""

from mlimages.images.duplicates.finding import find_duplicates
from mlimages.images.duplicates.hashing import hash_rows, update_hashes
from mlimages.images.duplicates.merging import merge_duplicates
from mlimages.images.duplicates.perceptual import Closeness
from mlimages.images.duplicates.reporting import DuplicatesReport, report_duplicates

__all__ = [
    "Closeness",
    "DuplicatesReport",
    "find_duplicates",
    "hash_rows",
    "merge_duplicates",
    "report_duplicates",
    "update_hashes",
]
