"""Run every tutorial from top to bottom; the first failure ends the run with its exit code.

Tutorials on real trajectories are named and left out where there is no folder of data.
"""

import subprocess
import sys
import time
from pathlib import Path

from _real_data import VARIABLE, default_folder

FOLDER = Path(__file__).parent
NEED_DATA = {
    "argyrodite.py",
    "concerted_hops.py",
    "long_times.py",
    "polymer_electrolyte.py",
    "silicon_interface.py",
    "water_molecules.py",
}


def main() -> int:
    """Run the tutorials one after the other."""
    for path in sorted(FOLDER.glob("*.py")):
        if path.name == Path(__file__).name or path.name.startswith("_"):
            continue
        if path.name in NEED_DATA and not default_folder().is_dir():
            print(f"== {path.name} not run: no trajectories at {default_folder()} ({VARIABLE})")
            continue
        print(f"== {path.name}", flush=True)
        begin = time.monotonic()
        code = subprocess.call([sys.executable, str(path)])
        print(f"== {path.name} took {time.monotonic() - begin:.0f} s", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
