"""The rights record: of each fetched image, by which licence, when and from where it came."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from mlimages.schemas import RIGHTS


def rights_table(
    rows: Sequence[int],
    uris: Sequence[str],
    final_uris: Sequence[str],
    addresses: Sequence[str],
    fetched_at: Sequence[float],
    md5: Sequence[str],
    sizes: Sequence[int],
    signals: Sequence[Sequence[str]],
    licences: Sequence[str | None],
    authors: Sequence[str | None],
) -> pa.Table:
    """schemas.RIGHTS of some images.

    Args:
        rows: of the images.
        uris: the candidate that was fetched.
        final_uris: where redirects ended.
        addresses: IP address that answered.
        fetched_at: seconds since 1970.
        md5: of the bytes as they came, 32 hexadecimal digits.
        sizes: their number.
        signals: opt-out signals that were seen, also those that do not forbid keeping it.
        licences: as the sources name it.
        authors: as the sources name them.
    """
    seconds = [int(when) for when in fetched_at]
    columns = (rows, uris, final_uris, addresses, seconds, md5, sizes, signals, licences, authors)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RIGHTS, strict=True)]
    return pa.table(arrays, schema=RIGHTS)
