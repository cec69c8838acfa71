"""Runs inside az's own interpreter: one JSON list of arguments per line in, one JSON answer per line out.

It is the unmodified az; only the seconds every process spends on importing it are saved. Must never import this package.
"""

from __future__ import annotations

import io
import json
import sys


def main() -> None:
    """Serve until the input ends."""
    answers = sys.stdout
    # az keeps the streams it found when it was loaded, so these stay the same objects and are there before it.
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    from azure.cli.core import get_default_cli

    for line in sys.stdin:
        for stream in (sys.stdout, sys.stderr):
            stream.seek(0)
            stream.truncate()
        try:
            code = get_default_cli().invoke(json.loads(line))
        except SystemExit as end:
            code = end.code
        answer = {"code": code, "out": sys.stdout.getvalue(), "err": sys.stderr.getvalue()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
