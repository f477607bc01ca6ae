"""What every benchmark shares: its options, its one JSON object, its table.

A benchmark gives `main` a function of one argument, whether to be quick, that returns an `Outcome`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
SKIPPED = 77  # the exit status of a benchmark that lacks what it needs


@dataclass
class Outcome:
    """Figures by name.

    Attributes:
        seconds: medians over the repetitions.
        peak_gb: proportional set size at its highest, in 1e9 bytes.
        ratios: what the claim is about; the name says what is divided by what.
        raw: all single times.
        figures: whatever else is told, by a name that says its unit.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak_gb: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Take over the figures of a part."""
        for name, figures in asdict(other).items():
            getattr(self, name).update(figures)


def skip(reason: str) -> NoReturn:
    """End a benchmark that cannot run here; the others go on."""
    print(reason, file=sys.stderr)
    sys.exit(SKIPPED)


def real_data(path: str) -> Path:
    """A file or folder of MLIMAGES_DATA or ../shared/data; skips the benchmark without it."""
    named = os.environ.get("MLIMAGES_DATA")
    place = (Path(named) if named else REPOSITORY.parent / "shared" / "data") / path
    if not place.exists():
        skip(f"no {path} in MLIMAGES_DATA, the folder of real data")
    return place


def interleaved(
    sides: dict[str, Callable[[], object]],
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time both sides in turns, so that a busy moment of the machine falls on both.

    Args:
        sides: by name, what to time.
        repetitions: after a first run that does not count.
        clock: `time.process_time` where other programs take turns on the cores.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(repetitions):
        for name, side in sides.items():
            start = clock()
            side()
            times[name].append(clock() - start)
    return times


@contextmanager
def one_core() -> Iterator[None]:
    """Inside, this process and PyTorch have one core, so that no side gains by waiting threads."""
    import torch

    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)


def watched(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Run a command and watch its memory.

    Args:
        command: what to run.
        folder: where it runs.

    Returns:
        its standard output, the seconds it took, and the greatest proportional set size of it and
        all its children in 1e9 bytes (0 where /proc has no such figure).
    """
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        reader = ThreadPoolExecutor(1).submit(process.stdout.read)  # type: ignore[union-attr]
        while process.poll() is None:
            peak = max(peak, _proportional_set_size(process.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        output = reader.result()
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} failed")
    return output, seconds, peak / 1e9


def _proportional_set_size(process: int) -> int:
    """Bytes of a process and its children, shared pages by their share."""
    total, waiting = 0, [process]
    while waiting:
        here = Path("/proc", str(waiting.pop()))
        try:
            text = (here / "smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
            for task in (here / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has just ended
    return total * 1024


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


def main(
    title: str,
    measure: Callable[[bool], Outcome] | Callable[[bool, Path], Outcome],
    packages: Sequence[str],
    *,
    writes: bool = False,
) -> None:
    """Run one benchmark as a command.

    Args:
        title: one line that says what is measured.
        measure: the benchmark; given whether to be quick, and if it `writes` a folder.
        packages: whose versions are told.
        writes: whether it needs a folder for its files: `--work`, or a temporary one.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="a look, in under two minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if writes:
        parser.add_argument("--work", type=Path, help="a folder for files; else a temporary one")
    options = parser.parse_args()
    if writes:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            outcome = measure(options.quick, Path(folder))  # type: ignore[call-arg]
    else:
        outcome = measure(options.quick)  # type: ignore[call-arg]
    result = report(outcome, packages)
    if options.json:
        print(json.dumps(result))
        return
    print(title)
    for kind in ("seconds", "peak_gb", "ratios", "figures"):
        for name, value in result[kind].items():  # type: ignore[attr-defined]
            print(f"  {kind:8} {name:44} {value:10.4f}")
    print(f"  {result['machine']}\n  {result['versions']}")
