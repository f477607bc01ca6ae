"""Compiled loops over the lines of a Tencent ML-Images list. Only loaded where numba is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.compiled import kernel
from mlimages.labels.sources.line_blocks import MOST_LINE_BYTES

TAB, NEWLINE, RETURN, COLON, SLASH, DOT, QUESTION = 9, 10, 13, 58, 47, 46, 63
MOST_DIGITS = 15  # a decimal of so many digits and its power of ten are exact as float64
MOST_TAGS = 512  # of a line read here: they are sorted by insertion
MOST_ID = 64
_HTTP = np.frombuffer(b"http://", np.uint8)
_HTTPS = np.frombuffer(b"https://", np.uint8)


@kernel
def _begins_with(data: NDArray[np.uint8], start: int, end: int, what: NDArray[np.uint8]) -> bool:
    same = end - start >= len(what)
    for i in range(len(what) if same else 0):
        same = same and data[start + i] == what[i]
    return same


@kernel
def _id_end(data: NDArray[np.uint8], start: int, end: int, suffixes: NDArray[np.int64]) -> int:
    """Where the id of a name's last part ends, or -1 when it is not safe as it is."""
    dot = -1
    for place in range(start, end):
        if data[place] == QUESTION:
            end = place
            break
        if data[place] == DOT:
            dot = place
    if dot >= 0:
        suffix = np.int64(0)
        for place in range(dot, min(end, dot + 8)):
            letter = np.int64(data[place])
            suffix = suffix << 8 | (letter + 32 if 65 <= letter <= 90 else letter)
        known = False
        for i in range(len(suffixes)):
            known = known or suffixes[i] == suffix
        if not known or end - dot > 7:
            return -1
        end = dot
    if not 0 < end - start <= MOST_ID:
        return -1
    for place in range(start, end):
        letter = data[place]
        # [a-z0-9_-]
        if not (97 <= letter <= 122 or 48 <= letter <= 57 or letter == 95 or letter == 45):
            return -1
    return end


@kernel
def _read_place(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    spans: NDArray[np.int32],
    suffixes: NDArray[np.int64],
) -> bool:
    """Fill (end of the place, start and end of the id, whether it is a URL); False if unusual."""
    part = place = start
    colon = False
    while place < end and data[place] != TAB:
        if not 33 <= data[place] <= 126:
            return False
        if data[place] == SLASH:
            part = place + 1
        colon = colon or data[place] == COLON
        place += 1
    if place == start:
        return False
    url = _begins_with(data, start, place, _HTTP) or _begins_with(data, start, place, _HTTPS)
    if colon and not url:
        return False
    spans[0], spans[1], spans[2], spans[3] = place, part, _id_end(data, part, place, suffixes), url
    return True


@kernel
def _read_tags(
    data: NDArray[np.uint8],
    place: int,
    end: int,
    num_categories: int,
    powers: NDArray[np.float64],
    categories: NDArray[np.int32],
    confidences: NDArray[np.float32],
    first: int,
) -> int:
    """Read `<TAB>index:confidence` up to the end; the number of categories, or -1 if unusual.

    They are written from `first` on, ascending, each once with its greatest confidence.
    """
    count = 0
    while place < end:
        place += 1  # the TAB
        digits, index = 0, 0
        while place < end and 48 <= data[place] <= 57 and digits < 10:
            index = 10 * index + data[place] - 48
            digits, place = digits + 1, place + 1
        if not 0 < digits < 10 or place >= end or data[place] != COLON or index >= num_categories:
            return -1
        place += 1
        digits, decimals, number = 0, -1, np.int64(0)
        while place < end and data[place] != TAB:
            letter = data[place]
            if 48 <= letter <= 57 and digits < MOST_DIGITS:
                number = 10 * number + letter - 48
                digits += 1
                decimals += decimals >= 0
            elif letter == DOT and decimals < 0:
                decimals = 0
            else:
                return -1
            place += 1
        value = np.float64(number) / powers[max(decimals, 0)]
        confidence = np.float32(value)
        if digits == 0 or not value <= 1 or confidence == 0 or count == MOST_TAGS:
            return -1
        at = first + count
        while at > first and categories[at - 1] > index:
            at -= 1
        if at > first and categories[at - 1] == index:
            confidences[at - 1] = max(confidences[at - 1], confidence)
            continue
        for i in range(first + count, at, -1):
            categories[i], confidences[i] = categories[i - 1], confidences[i - 1]
        categories[at], confidences[at] = index, confidence
        count += 1
    return count


@kernel
def parse_lines(
    data: NDArray[np.uint8],
    num_lines: int,
    most_tags: int,
    num_categories: int,
    suffixes: NDArray[np.int64],
    powers: NDArray[np.float64],
) -> tuple[
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.float32],
]:
    """Read lines `place<TAB>index:confidence...` as far as they are of the usual form.

    Args:
        data: whole lines; the last may lack its newline.
        num_lines: how many there are.
        most_tags: at least as many as there are.
        num_categories: an index is below it.
        suffixes: of images, as numbers: the bytes of `.jpg`, the first the highest.
        powers: 10 to the power of 0, 1, ..., MOST_DIGITS.

    Returns:
        lines: int32 [lines, 6]: start and end of the line, end of its place, start and end of its
            id (-1 when the id is not safe), whether the place is a URL.
        counts: int32 [lines]: its number of tags, -1 for a line that is not of the usual form.
        categories, confidences: int32 and float32 [tags], those of each line ascending.
    """
    lines = np.empty((num_lines, 6), np.int32)
    counts = np.empty(num_lines, np.int32)
    categories = np.empty(most_tags, np.int32)
    confidences = np.empty(most_tags, np.float32)
    start, total = 0, 0
    for i in range(num_lines):
        stop = start
        while stop < len(data) and data[stop] != NEWLINE:
            stop += 1
        end = stop
        usual = stop - start <= MOST_LINE_BYTES
        while usual and end > start and data[end - 1] == RETURN:
            end -= 1
        lines[i, 0], lines[i, 1] = start, end
        counts[i] = -1
        if usual and _read_place(data, start, end, lines[i, 2:], suffixes):
            counts[i] = _read_tags(
                data, lines[i, 2], end, num_categories, powers, categories, confidences, total
            )
        total += max(counts[i], 0)
        start = stop + 1
    return lines, counts, categories[:total].copy(), confidences[:total].copy()
