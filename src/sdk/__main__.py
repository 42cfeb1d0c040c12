"""Lies at the top of the folder that a worker is started with: `PYTHON FOLDER describe|work FD`.

It must compile under any Python, to tell an author whose interpreter is too old.
"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036 (the job's interpreter may be older than what the SDK needs)
        import json
        import os

        mistake = {
            "type": "mistake",
            "message": "The pipeline's interpreter is Python "
            + sys.version.split()[0]
            + "; Milepost needs 3.9 or later. "
            "Submit with --python and a newer interpreter.",
            "file": "",
            "line": 0,
            "traceback": "",
            "interpreter": sys.executable + " (Python " + sys.version.split()[0] + ")",
        }
        os.write(int(sys.argv[2]), json.dumps(mistake).encode() + b"\n")
    else:
        from milepost.sdk.worker import main

        main(sys.argv[1:])
