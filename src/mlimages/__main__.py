"""Entry point: `mlimages` and `python -m mlimages`.

Kept free of imports that take time, so that Ctrl-C during start-up also ends in one line.
"""

import os
import signal
import sys
from types import FrameType

_MESSAGE = "interrupted: nothing half-written is left; run the command again\n"
_seen: list[int] = []  # signals; C extensions may turn KeyboardInterrupt into an error of theirs


def main() -> None:
    """Run the command line and exit with its code (130 after Ctrl-C)."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        from mlimages.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _interrupted()
    except BrokenPipeError:
        # The reader of our output (`| head`) went away: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception:
        if not _seen:
            raise
        code = _interrupted()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: leave in order
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _seen.append(number)
    raise KeyboardInterrupt


def _interrupted() -> int:
    sys.stderr.write(_MESSAGE)
    return 130


if __name__ == "__main__":
    main()
