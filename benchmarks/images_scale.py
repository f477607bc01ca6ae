"""Images at full size: a ledger of 17.6 M URLs, 1 M small photos packed, a loader, a hash search.

Each part is a module of scale/, says what it does, and measures in processes of its own:

- ledger: 17.6 million URLs are to open in under 10 s and 1 GB, and to report in under 5 s;
- packing: 1 million 2-kB JPEGs, packed, verified, and read back at random;
- loader: over 17.6 million positions, ready in under 10 s, under 300 MB private a worker;
- duplicates: close pairs among 1 and 17.6 million hashes, all planted ones found.
"""

from __future__ import annotations

from typing import Any

from harness import Outcome, main
from scale import duplicates, ledger, loader, packing

PARTS = {"ledger": ledger, "packing": packing, "loader": loader, "duplicates": duplicates}


def measure(quick: bool) -> Outcome:
    """Run all parts; each figure's name begins with its part's."""
    outcome = Outcome()
    for name, part in PARTS.items():
        result = part.measure(quick)
        outcome.seconds |= {f"{name}_{key}": value for key, value in result["seconds"].items()}
        outcome.peak_gb |= {f"{name}_{key}": value for key, value in result["peak_gb"].items()}
        outcome.figures |= dict(_flat(name, result["notes"]))
    return outcome


def _flat(name: str, notes: dict[str, Any]) -> list[tuple[str, float]]:
    flat: list[tuple[str, float]] = []
    for key, value in notes.items():
        if isinstance(value, dict):
            flat += _flat(f"{name}_{key}", value)
        elif isinstance(value, int | float):
            flat.append((f"{name}_{key}", value))
    return flat


if __name__ == "__main__":
    main(__doc__.splitlines()[0], measure, ["numpy", "pyarrow", "torch"])
