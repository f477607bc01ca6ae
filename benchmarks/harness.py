"""What every benchmark shares: its options, its one JSON object, its table.

A benchmark gives `main` a function of one argument, whether to be quick, that returns an `Outcome`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version


@dataclass
class Outcome:
    """Figures by name.

    Attributes:
        seconds: medians over the repetitions.
        peak_gb: proportional set size at its highest, in 1e9 bytes.
        ratios: what the claim is about; the name says what is divided by what.
        raw: all single times.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak_gb: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)


def interleaved(sides: dict[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Time both sides in turns, so that a busy moment of the machine falls on both."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(repetitions):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - start)
    return times


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """The median of each side."""
    return {name: statistics.median(values) for name, values in times.items()}


def report(outcome: Outcome, packages: Sequence[str]) -> dict[str, object]:
    """The outcome with the machine and the versions it was measured with."""
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }
    versions = {"python": platform.python_version()}
    versions |= {package: version(package) for package in packages}
    return {**asdict(outcome), "machine": machine, "versions": versions}


def main(title: str, measure: Callable[[bool], Outcome], packages: Sequence[str]) -> None:
    """Run one benchmark as a command."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="a look, in under two minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = report(measure(options.quick), packages)
    if options.json:
        print(json.dumps(result))
        return
    print(title)
    for kind in ("seconds", "peak_gb", "ratios"):
        for name, value in result[kind].items():  # type: ignore[attr-defined]
            print(f"  {kind:8} {name:44} {value:10.4f}")
    print(f"  {result['machine']}\n  {result['versions']}")
