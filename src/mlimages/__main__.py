"""Entry point: `mlimages` and `python -m mlimages`.

Kept free of imports that take time, so that Ctrl-C during start-up also ends in one line.
"""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code (130 after Ctrl-C)."""
    try:
        from mlimages.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing half-written is left; run the command again\n")
        code = 130
    except BrokenPipeError:
        # The reader of our output (`| head`) went away: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


if __name__ == "__main__":
    main()
