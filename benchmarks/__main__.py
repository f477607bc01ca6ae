"""`python benchmarks [--quick] [NAME ...]`: run every benchmark and rewrite docs/benchmarks.md.

With names only those are run, and the page goes to standard output. One that lacks what it needs
(real data, another program) is skipped, one that fails is named at the end; both stand in the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from harness import SKIPPED

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


def scripts() -> dict[str, Path]:
    """Name -> script, of all that are benchmarks: the others here do not use the harness."""
    found = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem != "__main__"}
    text = {name: path.read_text(encoding="utf-8") for name, path in found.items()}
    return {name: path for name, path in found.items() if "from harness import" in text[name]}


def run(script: Path, quick: bool) -> dict | str:
    """The JSON object of a script, run in its own process, or why there is none."""
    command = [sys.executable, str(script), "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = done.stderr.strip().splitlines() or ["said nothing"]
    if done.returncode == SKIPPED:
        return f"skipped: {said[-1]}"
    sys.stderr.write(done.stderr)
    return f"failed: {said[-1]}"


def page(results: dict[str, dict | str]) -> str:
    """The figures as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make benchmarks`; both sides of a comparison ran in turns, in the same run.",
        "",
        "| benchmark | figure | value |",
        "|---|---|---|",
    ]
    machines: dict[str, None] = {}
    versions: dict[str, str] = {}
    for name, result in results.items():
        if isinstance(result, str):
            lines.append(f"| `{name}` | {result.replace('|', '/')} | |")
            continue
        for kind in ("seconds", "peak_gb", "ratios"):
            lines += [f"| `{name}` | {kind}.{n} | {v:.4g} |" for n, v in result[kind].items()]
        machines[", ".join(f"{value} {key}" for key, value in result["machine"].items())] = None
        versions |= result["versions"]
    if versions:
        told = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
        lines += ["", f"Machine: {'; '.join(machines)}.", "", f"Versions: {told}."]
    return "\n".join([*lines, ""])


def main() -> None:
    """Run them and write the page."""
    known = scripts()
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look, in under two minutes each")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    results: dict[str, dict | str] = {}
    for name in options.names or known:
        print(f"{name} ...", file=sys.stderr)
        result = results[name] = run(known[name], options.quick)
        if isinstance(result, str):
            print(f"{name} {result}", file=sys.stderr)
    if options.names:
        print(page(results))
    else:
        PAGE.write_text(page(results), encoding="utf-8")
    failed = [name for name, result in results.items() if str(result).startswith("failed")]
    if failed:
        sys.exit(f"error: {', '.join(failed)} failed")


if __name__ == "__main__":
    main()
