"""Run every tutorial from top to bottom; the first failure ends the run with its exit code."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Run the tutorials one after the other."""
    for path in sorted(FOLDER.glob("*.py")):
        if path.name == Path(__file__).name:
            continue
        print(f"== {path.name}", flush=True)
        code = subprocess.call([sys.executable, str(path)])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
