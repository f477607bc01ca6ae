"""Plain loops over images and categories: the formulas as their papers write them, in float64."""

from __future__ import annotations

import math

import numpy as np

ABSENT, UNKNOWN = 0.0, -1.0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def asymmetric(
    x: np.ndarray,
    z: np.ndarray,
    stated: np.ndarray,
    gammas: tuple[float, float, float],
    clip: float,
    ignored: np.ndarray,
) -> float:
    """Mean over images of the sum over categories; `stated` says which zeros were said."""
    total = 0.0
    for i, j in np.ndindex(x.shape):
        p = sigmoid(x[i, j])
        q = max(p - clip, 0)
        if z[i, j] == UNKNOWN or (not stated[i, j] and ignored[i, j]):
            continue
        if stated[i, j]:
            total += z[i, j] * (1 - p) ** gammas[0] * -math.log(p)
            total += (1 - z[i, j]) * q ** gammas[1] * -math.log(1 - q)
        else:
            total += q ** gammas[2] * -math.log(1 - q)
    return total / len(x)


def distribution_balanced(
    x: np.ndarray, y: np.ndarray, counts: np.ndarray, num_images: int
) -> float:
    alpha, beta, mu, lam, kappa = 0.1, 10.0, 0.3, 5.0, 0.05
    total = 0.0
    for i in range(len(x)):
        drawn = sum(1 / counts[j] for j in range(x.shape[1]) if y[i, j] > 0)
        for k in range(x.shape[1]):
            p = counts[k] / (num_images + 1)
            shifted = x[i, k] + kappa * math.log(p / (1 - p)) / lam
            weight = alpha
            if drawn:
                weight += sigmoid(beta * (1 / counts[k] / drawn - mu))
            total += weight * y[i, k] * math.log1p(math.exp(-shifted))
            total += weight * (1 - y[i, k]) * math.log1p(math.exp(lam * shifted)) / lam
    return total / len(x)


def semantic_softmax(x: np.ndarray, y: np.ndarray, depths: np.ndarray) -> float:
    total = 0.0
    for i in range(len(x)):
        costs = []
        for depth in np.unique(depths):
            members = np.flatnonzero(depths == depth)
            mass = y[i, members].sum()
            if mass > 0:
                log_p = x[i, members] - np.log(np.exp(x[i, members]).sum())
                costs.append(-(y[i, members] / mass * log_p).sum())
        total += np.mean(costs) if costs else 0.0
    return total / len(x)


def consistent(x: np.ndarray, below: list[set[int]]) -> np.ndarray:
    """`below[j]` are j and all its descendants."""
    return np.stack([[max(row[k] for k in below[j]) for j in range(len(row))] for row in x])
