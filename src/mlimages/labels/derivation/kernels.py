"""The compiled part of `with_numba.py`: the rules of `rules.py`, image by image.

A thread holds a few arrays of the size of the vocabulary. The tags of the image in hand are bits of
a map; listing the bits sorts the tags and clears the map for the next image. Other marks are the
image's number, and need no clearing. Each fact is one walk over its category's row of
`sparse.Upward`. The supports and their ranks (`ranks.py`) are those of `with_numpy.py`.
"""

from __future__ import annotations

import numpy as np

from mlimages.labels.compiled import kernel
from mlimages.labels.derivation import ranks as ranking
from mlimages.labels.tags import ANCESTOR, ASSERTED, COOCCURRENCE

_ASSERTED, _MOST_EDGES = ranking.ASSERTED, ranking.MOST_EDGES
_LAST_CATEGORY = ranking.LAST_CATEGORY
_EDGES_SHIFT, _CONFIDENCE_SHIFT = ranking.EDGES_SHIFT, ranking.CONFIDENCE_SHIFT
_CONFIDENCE = np.uint64((1 << 30) - 1)
_NO_EDGES = _MOST_EDGES << _EDGES_SHIFT  # what a rank holds when the support is no edge away
_ONE, _SIX, _LOW = np.uint64(1), np.uint64(6), np.uint64(63)
# A product with this number has another six highest bits for each power of two (de Bruijn).
_DE_BRUIJN, _TOP = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
_BIT_OF = np.zeros(64, np.uint8)
_BIT_OF[[(0x03F79D71B4CB0A89 << bit & (1 << 64) - 1) >> 58 for bit in range(64)]] = range(64)


@kernel
def derive(rows, closure, pairs, known, merging, scratch, output):  # type: ignore[no-untyped-def]
    """Write the tags of all images.

    Args:
        rows: FactRows.
        closure, pairs, known, merging, scratch, output: Closure, Pairs, Known, Merging,
            Scratch and Output.
    """
    at = np.uint64(0)
    for image in range(len(rows.indptr) - 1):
        count = merge_image(image, rows, closure.indptr, closure.ancestors, merging)
        if count == 1 and not pairs.acts[merging.found[0]]:
            at = _write_row(merging.found[0], closure, merging, output, at)
        else:
            acts = False
            for position in range(count):
                fact = merging.found[position]
                acts |= pairs.acts[fact]
                base = _ASSERTED | _rank(merging.confidence[fact], fact)
                for place in range(closure.indptr[fact], closure.indptr[fact + 1]):
                    rank = base | np.uint64(closure.steps[place])
                    _support(scratch, closure.ancestors[place], rank)
            if acts:
                _add_cooccurring(image, count, closure, pairs, known, merging, scratch)
            at = _write_tags(image, acts, merging, scratch, output, at)
        output.indptr[image + 1] = at


@kernel
def merge_image(image, rows, up_indptr, up, merging):  # type: ignore[no-untyped-def]
    """Merge the present facts of an image, as `facts.present_facts` does.

    Args:
        image: its number in `rows`, which are FactRows.
        up_indptr, up: of `sparse.Upward`.
        merging: Merging; the categories come to `found`.

    Returns:
        how many categories were found.
    """
    first, last = rows.indptr[image], rows.indptr[image + 1]
    corrected = False
    if len(rows.withdrawn):
        for fact in range(first, last):
            if rows.withdrawn[fact]:
                merging.withdrawn[rows.categories[fact]] = image
                corrected = True
    count = 0
    for fact in range(first, last):
        category = rows.categories[fact]
        if len(rows.present) and not rows.present[fact]:
            continue
        if corrected:
            gone = False
            for place in range(up_indptr[category], up_indptr[category + 1]):
                gone |= merging.withdrawn[up[place]] == image
            if gone:
                continue
        if merging.image[category] != image:
            merging.image[category] = image
            merging.confidence[category] = rows.confidences[fact]
            merging.found[count] = category
            count += 1
        elif rows.confidences[fact] > merging.confidence[category]:
            merging.confidence[category] = rows.confidences[fact]
    return count


@kernel
def _write_row(fact, closure, merging, output, at):  # type: ignore[no-untyped-def]
    """Write the tags of an image with one fact that causes nothing: they are sorted already."""
    first = np.uint64(closure.indptr[fact])
    count = np.uint64(closure.indptr[fact + 1]) - first
    confidence = merging.confidence[fact]
    # One column at a time: each is a run that the processor copies fast.
    for step in range(count):
        output.categories[at + step] = closure.ancestors[first + step]
    for step in range(count):
        output.confidences[at + step] = confidence
    for step in range(count):
        output.reasons[at + step] = (
            ASSERTED if closure.ancestors[first + step] == fact else ANCESTOR
        )
    for step in range(count):
        output.because[at + step] = fact
    return at + count


@kernel
def _rank(confidence, category):  # type: ignore[no-untyped-def]
    """What a category's support is worth, but for the edges."""
    return (np.uint64(confidence) << _CONFIDENCE_SHIFT) | (_LAST_CATEGORY - np.uint64(category))


@kernel
def _support(scratch, category, rank):  # type: ignore[no-untyped-def]
    """Support a tag: the strongest support is kept."""
    # No branch, as none could be predicted; and indexing by an unsigned number is quicker.
    category = np.uint64(category)
    word = category >> _SIX
    scratch.bits[word] |= _ONE << (category & _LOW)
    scratch.words[word >> _SIX] |= _ONE << (word & _LOW)
    scratch.support[category] = max(scratch.support[category], rank)


@kernel
def _is_tag(scratch, category):  # type: ignore[no-untyped-def]
    return (scratch.bits[category >> 6] >> (np.uint64(category) & _LOW)) & _ONE == _ONE


@kernel
def _add_cooccurring(image, count, closure, pairs, known, merging, scratch):  # type: ignore[no-untyped-def]
    """Rules 2 and 3; effects are judged by the tags before any of them is added."""
    for place in range(known.indptr[image], known.indptr[image + 1]):
        scratch.absent[known.denied[place]] = image
    causes = merging.found
    if pairs.every:
        causes = scratch.tags
        count = _list_tags(scratch, scratch.tags)
    num_added = 0
    for position in range(count):
        cause = causes[position]
        value = merging.confidence[cause]
        if pairs.every:
            value = np.uint32((scratch.support[cause] >> _CONFIDENCE_SHIFT) & _CONFIDENCE)
        rank = _rank(value, cause) | _NO_EDGES
        if merging.image[cause] == image:
            rank |= _ASSERTED
        for place in range(pairs.indptr[cause], pairs.indptr[cause + 1]):
            effect = pairs.effects[place]
            if _is_tag(scratch, effect) or scratch.refused[effect] == image:
                continue
            if scratch.tried[effect] != image:
                if _is_absent(image, effect, closure, known, scratch):
                    scratch.refused[effect] = image
                    continue
                scratch.tried[effect] = image
                scratch.effect_support[effect] = scratch.effect_confidence[effect] = 0
                scratch.added[num_added] = effect
                num_added += 1
            scratch.effect_support[effect] = max(scratch.effect_support[effect], rank)
            scratch.effect_confidence[effect] = max(scratch.effect_confidence[effect], value)
    for position in range(num_added):
        effect = scratch.added[position]
        value = scratch.effect_confidence[effect]
        for place in range(closure.indptr[effect], closure.indptr[effect + 1]):
            above = closure.ancestors[place]
            rank = _rank(value, effect) | np.uint64(closure.steps[place])
            _support(scratch, above, scratch.effect_support[effect] if above == effect else rank)
            scratch.raised[above] = max(scratch.raised[above], value)


@kernel
def _is_absent(image, effect, closure, known, scratch):  # type: ignore[no-untyped-def]
    """Whether an effect or what is above it is known to be absent: `absences.Absences.forbid`."""
    first = last = 0
    if len(known.silent):
        group = known.groups[image]
        first, last = known.silent_indptr[group], known.silent_indptr[group + 1]
    silent = known.silent[first:last]
    for step in range(closure.indptr[effect], closure.indptr[effect + 1]):
        above = closure.ancestors[step]
        if scratch.absent[above] == image:
            return True
        if len(silent) and not _is_tag(scratch, above):
            place = np.searchsorted(silent, above)
            if place < len(silent) and silent[place] == above:
                return True
    return False


@kernel
def _list_tags(scratch, tags):  # type: ignore[no-untyped-def]
    """Write the tags so far, ascending, to the list; returns how many there are."""
    count = np.uint64(0)
    for block in range(len(scratch.words)):
        words = scratch.words[block]
        while words:
            low = words & (~words + _ONE)
            words ^= low
            word = (np.uint64(block) << _SIX) | np.uint64(_BIT_OF[(low * _DE_BRUIJN) >> _TOP])
            bits = scratch.bits[word]
            while bits:
                low = bits & (~bits + _ONE)
                bits ^= low
                tags[count] = (word << _SIX) | np.uint64(_BIT_OF[(low * _DE_BRUIJN) >> _TOP])
                count += _ONE
    return count


@kernel
def _write_tags(image, raised, merging, scratch, output, at):  # type: ignore[no-untyped-def]
    """Write the image's tags and clear the map; returns where they end.

    Args:
        raised: whether effects may have raised a confidence.
    """
    for block in range(len(scratch.words)):
        words = scratch.words[block]
        scratch.words[block] = 0
        while words:
            low = words & (~words + _ONE)
            words ^= low
            word = (np.uint64(block) << _SIX) | np.uint64(_BIT_OF[(low * _DE_BRUIJN) >> _TOP])
            bits = scratch.bits[word]
            scratch.bits[word] = 0
            while bits:
                low = bits & (~bits + _ONE)
                bits ^= low
                category = (word << _SIX) | np.uint64(_BIT_OF[(low * _DE_BRUIJN) >> _TOP])
                rank = scratch.support[category]
                scratch.support[category] = 0
                confidence = np.uint32((rank >> _CONFIDENCE_SHIFT) & _CONFIDENCE)
                own = merging.image[category] == image
                reason = ASSERTED if own else ANCESTOR
                if raised:
                    confidence = max(confidence, scratch.raised[category])
                    scratch.raised[category] = 0
                    if not own and rank & _NO_EDGES == _NO_EDGES:
                        reason = COOCCURRENCE
                output.categories[at] = category
                output.confidences[at] = confidence
                output.reasons[at] = reason
                output.because[at] = category if own else _LAST_CATEGORY - (rank & _LAST_CATEGORY)
                at += _ONE
    return at
