"""The command line: `run(arguments)` finds the command, parses, calls; errors become one line.

Each command is one function in one module, named in `COMMANDS` and imported only when it is used:
`mlimages --help` imports neither numpy nor torch.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mlimages.errors import MlimagesError, UsageError, nearest


@dataclass(frozen=True)
class Command:
    """Where a command's function lives, and the line that `mlimages --help` shows for it."""

    function: str  # module:function, under mlimages.cli
    summary: str


COMMANDS: dict[str, Command] = {
    "quickstart": Command("quickstart:quickstart", "run the whole job once, small; ends in a page"),
    "taxonomy show": Command("taxonomy:show", "names, gloss and paths of a category"),
    "taxonomy check": Command("taxonomy_check:check", "all faults of a dictionary, or its figures"),
    "taxonomy build": Command("taxonomy_build:build", "build a vocabulary from class lists"),
    "taxonomy diff": Command("taxonomy_diff:diff", "compare two vocabularies"),
    "taxonomy export": Command("taxonomy:export", "write the categories as a dictionary"),
    "taxonomy map": Command("taxonomy_map:map_", "map another data set's classes to synsets"),
    "import": Command("import_:import_", "read annotations into a database, as facts"),
    "complete": Command("complete:complete", "derive tags: ancestors and co-occurrence"),
    "statistics": Command("statistics:statistics", "count images, categories and tags"),
    "quality": Command("quality:quality", "find contradictions, odd pairs and doubtful tags"),
    "duplicates": Command("duplicates:duplicates", "let one image stand for its copies"),
    "duplicates leak": Command("duplicates_leak:leak", "find a test set's photos among the images"),
    "split": Command("split:split", "deal images out to train and validation, by category"),
    "explain": Command("explain:explain", "say why an image has each of its tags"),
    "pack": Command("pack:pack", "pack image bytes into shards"),
    "shards verify": Command("shards:verify", "read every shard and compare it with the index"),
    "shards repair": Command("shards:repair", "mend damaged shards, or a lost index"),
    "shards rewrite": Command("shards:rewrite", "bring shards into order, without removed images"),
    "fetch": Command("fetch:fetch", "fetch images by their addresses into shards"),
    "recheck": Command("recheck:recheck", "drop fetched images that have opted out since"),
    "ledger": Command("ledger:ledger", "say what became of every URL, and what to do next"),
    "remove": Command("remove:remove", "leave images out that somebody asked to remove"),
    "export": Command("export:export", "write it in another tool's format"),
    "hash": Command("hash_:hash_", "prove that two databases hold the same"),
    "check": Command("check:check", "verify checksums and reconcile counts"),
    "train": Command("train:train", "train a network on a database"),
    "evaluate": Command("evaluate:evaluate", "measure a network on a split"),
    "predict": Command("predict:predict", "write a network's predictions as a table"),
    "features": Command("features:features", "write feature vectors of photos"),
    "probe": Command("probe:probe", "linear probe with N images a class"),
    "finetune": Command("finetune:finetune", "teach a network your own labels"),
    "transfer": Command("transfer:transfer", "carry a network to a benchmark, by its protocol"),
    "data prepare": Command("data:prepare", "get a benchmark's data, and check that it is whole"),
    "convert from-tensorflow": Command(
        "convert:from_tensorflow", "make a model of a released TensorFlow checkpoint"
    ),
    "convert to-tensorflow": Command(
        "convert:to_tensorflow", "write a model as a TensorFlow checkpoint"
    ),
    "tag": Command("tag:tag", "tag photos, with the path up the hierarchy"),
}

# Modules that a command needs at its start, and the extra that installs them.
_EXTRA_OF = {"torch": "train", "torchvision": "train", "cv2": "train", "safetensors": "train"}

_EXAMPLES = """examples:
  mlimages quickstart
  mlimages tag photo.jpg
  mlimages import imagenet train/ DB
  mlimages pack --help"""


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors become one line on standard error."""
    # OpenMP's threads wait for each other by spinning for milliseconds. Where another program wants
    # a core, that made training 4 to 8 times as slow; after a short spin they now sleep.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return _dispatch(arguments)
    except MlimagesError as error:
        return error.exit_code if error.told_by_another else _fail(str(error), error.exit_code)
    except BrokenPipeError:
        raise  # `| head` is no error; see __main__
    except OSError as error:
        # Anything the library did not foresee still ends in a line with the place and the cause.
        place = error.filename if error.filename is not None else "input or output"
        return _fail(f"{place}: {error.strerror or error}; check the path and run again", 1)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(f"{error.name}: not installed; run: pip install 'mlimages[{extra}]'", 1)
    except MemoryError:
        return _fail("memory: not enough; close other programs or make the batch smaller", 1)


def _fail(message: str, code: int) -> int:
    sys.stderr.write("error: " + " ".join(message.split()) + "\n")
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from mlimages import __version__

        print(f"mlimages {__version__}")
        return 0
    if len(arguments) == 2 and arguments[1] in ("-h", "--help") and arguments[0] not in COMMANDS:
        group = {name: c for name, c in COMMANDS.items() if name.startswith(f"{arguments[0]} ")}
        if group:
            print(f"usage: mlimages {arguments[0]} COMMAND ...\n\ncommands:\n{_listed(group)}")
            return 0
    name, rest = _find(arguments)
    module, function = COMMANDS[name].function.split(":")
    command = getattr(importlib.import_module(f"mlimages.cli.{module}"), function)
    return _call(command, name, rest)


def _find(arguments: list[str]) -> tuple[str, list[str]]:
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    group = [name for name in COMMANDS if name.startswith(arguments[0] + " ")]
    if group and len(arguments) == 1:
        listed = ", ".join(group)
        raise UsageError(arguments[0], "needs a second word", f"one of: {listed}")
    word = " ".join(arguments[: 2 if group else 1])
    raise UsageError(word, "no such command", nearest(word, COMMANDS) + " See: mlimages --help")


def _call(command: Callable[..., int | None], name: str, arguments: list[str]) -> int:
    """Parse with tyro and call; tyro's boxed errors become one UsageError."""
    import tyro

    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            call = tyro.cli(
                _deferred(command), args=arguments, prog=f"mlimages {name}", add_help=True
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            return 0
        raise UsageError(*_one_line(box.getvalue(), name)) from None
    return call() or 0


def _deferred(command: Callable[..., int | None]) -> Callable[..., Callable[[], int | None]]:
    """A function of the same signature that only remembers the call.

    So that parsing (whose errors are caught) is over before the command itself starts.
    """
    import functools

    @functools.wraps(command)
    def remember(*values: object, **options: object) -> Callable[[], int | None]:
        return lambda: command(*values, **options)

    return remember


def _one_line(box: str, name: str) -> tuple[str, str, str]:
    """Turn tyro's boxed message into (thing, cause, action)."""
    lines = [re.sub(r"[│╭╮╰╯─]", " ", line).strip() for line in box.splitlines()]
    text = " ".join(line for line in lines[1:] if line)
    text = re.split(r"For full helptext|Argument helptext", text)[0].strip()
    hint = re.search(r"Perhaps you meant: (--[\w-]+)", text)
    cause = re.sub(r"Missing from mlimages [\w ]+: (\S+).*", r"missing \1", text)
    cause = cause.split("Perhaps you")[0]
    cause = cause.strip().rstrip(".:") or "cannot be parsed"
    action = f"did you mean {hint[1]}? " if hint else ""
    return f"mlimages {name}", cause[:1].lower() + cause[1:], f"{action}see: mlimages {name} --help"


def _help() -> str:
    about = "Build, complete, train on and use large multi-label image databases."
    listed = _listed(COMMANDS)
    return f"usage: mlimages COMMAND ...\n\n{about}\n\ncommands:\n{listed}\n\n{_EXAMPLES}"


def _listed(commands: dict[str, Command]) -> str:
    width = max(map(len, commands))
    return "\n".join(f"  {name:<{width}}  {c.summary}" for name, c in commands.items())
