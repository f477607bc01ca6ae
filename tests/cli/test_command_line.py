"""The command line itself: help, JSON and errors in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlimages.cli import COMMANDS, run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*name.split(), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"Example: mlimages {name}" in shown
    assert "--json" in shown


def test_commands_import_heavy_modules_only_when_called() -> None:
    modules = sorted({command.function.split(":")[0] for command in COMMANDS.values()})
    code = "import sys, importlib\n"
    code += f"for name in {modules}: importlib.import_module('mlimages.cli.' + name)\n"
    code += "sys.exit(' '.join({'torch', 'pyarrow', 'numpy', 'PIL'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pak DB", ["pak: no such command", "did you mean 'pack'?"]),
        ("pack", ["mlimages pack", "missing", "DB"]),
        ("pack DB --shard-megabytes many", ["--shard-megabytes", "'many'"]),
        ("pack DB --shard-megabyte 3", ["did you mean --shard-megabytes?"]),
        ("taxonomy", ["taxonomy show"]),
        ("taxonomy shw", ["did you mean 'taxonomy show'?"]),
        ("", []),
    ],
)
def test_usage_errors_are_one_line(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(line.split())
    output = capsys.readouterr()
    if not line:
        assert code == 0
        return
    assert code == 2
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert all(word in output.err for word in words), output.err
    assert "╭" not in output.err


@pytest.mark.parametrize("command", ["pack", "check", "complete", "statistics"])
def test_a_missing_database_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    missing = tmp_path_factory.mktemp("empty") / "missing"
    assert run([command, str(missing)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no such folder" in error
    assert "mlimages import" in error


def test_a_group_of_commands_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taxonomy", "--help"]) == 0
    listed = capsys.readouterr().out
    assert "taxonomy check" in listed
    assert "statistics" not in listed
    assert run(["taxonomy"]) == 2
    assert "needs a second word; one of: taxonomy show, " in capsys.readouterr().err
