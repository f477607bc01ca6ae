"""Completion and co-occurrence as sparse products in scipy, and as plain Python.

scipy: https://docs.scipy.org/doc/scipy/reference/generated/scipy.sparse.csr_array.html; its
products run on one thread. A product knows no greatest confidence and no reason: only the pairs
(row, category) can be compared, which are less than the other sides give.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa

from mlimages.labels.sparse import Upward


def _matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]):
    from scipy.sparse import csr_array

    indptr = np.searchsorted(rows, np.arange(shape[0] + 1))
    return csr_array((np.ones(len(columns), np.float32), columns, indptr), shape=shape)


def scipy_completion(facts: pa.Table, above: Upward, images: int) -> pa.Table:
    """row and category, sorted."""
    from scipy.sparse import csr_array

    size = len(above.indptr) - 1
    ones = np.ones(len(above.ancestors), np.float32)
    closure = csr_array((ones, above.ancestors, above.indptr), shape=(size, size))
    said = _matrix(facts["row"].to_numpy(), facts["category"].to_numpy(), (images, size))
    tags = said @ closure
    tags.sort_indices()
    rows = np.repeat(np.arange(images, dtype=np.int32), np.diff(tags.indptr))
    return pa.table({"row": rows, "category": tags.indices.astype(np.int32)})


def scipy_pairs(facts: pa.Table, predictions: pa.Table, single: int, above: Upward) -> pa.Table:
    """cause, effect, images, predicted, ratio of the strong pairs, by cause, then effect."""
    size = len(above.indptr) - 1
    rows, categories = facts["row"].to_numpy(), facts["category"].to_numpy()
    end = np.searchsorted(rows, single)
    effects = np.zeros(size, dtype=bool)
    effects[categories[end:]] = True
    shown = predictions["category"].to_numpy()
    chosen = (predictions["probability"].to_numpy().astype(np.float64) > 0.95) & effects[shown]
    causes = _matrix(rows[:end], categories[:end], (single, size))
    predicted = _matrix(predictions["row"].to_numpy()[chosen], shown[chosen], (single, size))
    counts = (causes.T.tocsr() @ predicted).tocoo()
    images = np.bincount(categories[:end], minlength=size)
    cause, effect = counts.coords
    ratio = counts.data.astype(np.int64) / images[cause]
    related = np.repeat(np.arange(size), np.diff(above.indptr)) * size + above.ancestors
    keep = (ratio > 0.5) & ~np.isin(cause * np.int64(size) + effect, related)
    keep &= ~np.isin(effect * np.int64(size) + cause, related)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((effect[order], cause[order]))]
    return pa.table(
        {
            "cause": cause[order].astype(np.int32),
            "effect": effect[order].astype(np.int32),
            "images": images[cause[order]],
            "predicted": counts.data[order].astype(np.int64),
            "ratio": ratio[order],
        }
    )


def python_completion(facts: pa.Table, above: Upward) -> pa.Table:
    """row, category, confidence, reason, because, sorted."""
    up = [
        list(zip(above.ancestors[a:b].tolist(), above.edges[a:b].tolist(), strict=True))
        for a, b in zip(above.indptr[:-1].tolist(), above.indptr[1:].tolist(), strict=True)
    ]
    said: dict[int, list[tuple[int, float]]] = defaultdict(list)
    names = ("row", "category", "confidence")
    for row, category, confidence in zip(*(facts[n].to_pylist() for n in names), strict=True):
        said[row].append((category, confidence))
    tags = []
    for row in sorted(said):
        best: dict[int, tuple] = {}
        highest: dict[int, float] = {}
        for category, confidence in said[row]:
            for ancestor, edges in up[category]:
                worth = (ancestor == category, confidence, -edges, -category)
                if ancestor not in best or worth > best[ancestor]:
                    best[ancestor] = worth
                highest[ancestor] = max(highest.get(ancestor, 0.0), confidence)
        for category in sorted(best):
            itself, _, _, because = best[category]
            tags.append((row, category, highest[category], 0 if itself else 1, -because))
    kinds = (pa.int32(), pa.int32(), pa.float32(), pa.int8(), pa.int32())
    columns = (*names, "reason", "because")
    found = zip(*tags, strict=True)
    return pa.table({n: pa.array(v, k) for n, v, k in zip(columns, found, kinds, strict=True)})


def python_pairs(facts: pa.Table, predictions: pa.Table, single: int, above: Upward) -> pa.Table:
    """As `scipy_pairs`."""
    causes: dict[int, list[int]] = defaultdict(list)
    effects = set()
    images: Counter[int] = Counter()
    for row, category in zip(facts["row"].to_pylist(), facts["category"].to_pylist(), strict=True):
        if row < single:
            causes[row].append(category)
            images[category] += 1
        else:
            effects.add(category)
    counts: Counter[tuple[int, int]] = Counter()
    names = ("row", "category", "probability")
    for row, effect, chance in zip(*(predictions[n].to_pylist() for n in names), strict=True):
        if chance > 0.95 and effect in effects:
            for cause in causes[row]:
                counts[cause, effect] += 1
    above_of = [
        set(above.ancestors[a:b].tolist())
        for a, b in zip(above.indptr[:-1].tolist(), above.indptr[1:].tolist(), strict=True)
    ]
    found = sorted(
        (i, j, images[i], n, n / images[i])
        for (i, j), n in counts.items()
        if n / images[i] > 0.5 and j not in above_of[i] and i not in above_of[j]
    )
    kinds = (pa.int32(), pa.int32(), pa.int64(), pa.int64(), pa.float64())
    columns = zip(*found, strict=True) if found else [[]] * 5
    arrays = [pa.array(list(v), k) for v, k in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=["cause", "effect", "images", "predicted", "ratio"])
