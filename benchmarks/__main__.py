"""`python benchmarks [--quick]`: run every benchmark and rewrite docs/benchmarks.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = {"__main__.py", "harness.py", "mapping_data.py"}


def run(script: Path, arguments: list[str]) -> dict:
    """Run one script in its own process and return its JSON object."""
    command = [sys.executable, str(script), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {script.name} failed\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    """Run all and write the page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make benchmarks`; both sides of a comparison ran in turns, in the same run.",
        "",
        "| benchmark | figure | value |",
        "|---|---|---|",
    ]
    result: dict = {}
    for script in sorted(path for path in HERE.glob("*.py") if path.name not in SHARED):
        print(f"{script.stem} ...", file=sys.stderr)
        result = run(script, sys.argv[1:])
        for kind in ("seconds", "peak_gb", "ratios"):
            for name, value in result[kind].items():
                lines.append(f"| `{script.stem}` | {kind}.{name} | {value:.4g} |")
    lines += ["", f"Machine: {result['machine']}. Versions of the last: {result['versions']}.", ""]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
