"""What docs/cli.md says of the files that commands write: `documented`, `assert_documented`."""

import csv
import fnmatch
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"


def documented(command):
    """Columns of every file that a command writes, by its name on the page; images have none."""
    text = PAGE.read_text("utf-8")
    section = re.search(rf"^## {command}$(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)[1]
    files = {}
    for row in re.findall(r"^\| (`.+) \|$", section, flags=re.MULTILINE):
        names, columns, _ = (cell.strip() for cell in row.split("|", 2))
        header = re.findall(r"`([^`]*)`", columns)
        if columns.startswith(","):  # a column of names without a name
            header = ["", *header]
        if columns.endswith("…"):  # and others, which depend on the settings
            header = [*header, "…"]
        files |= dict.fromkeys(re.findall(r"`([^`]+)`", names), header)
    return files


def assert_documented(folder, *commands, complete=()):
    """Every file in a folder is on the page with its columns, and all of ``complete`` are there."""
    pages = [documented(command) for command in commands]
    known = {name: columns for page in reversed(pages) for name, columns in page.items()}
    written = {path.name for path in folder.iterdir()}
    unknown = {
        name for name in written if not any(fnmatch.fnmatch(name, pattern) for pattern in known)
    }
    assert unknown == set()
    for name in sorted(name for name in written if name.endswith(".csv")):
        with (folder / name).open(encoding="utf-8") as file:
            header = next(csv.reader(file))
        if known[name][-1:] == ["…"]:
            header = [*header[: len(known[name]) - 1], "…"]
        assert header == known[name], name
    for command in complete:
        for pattern in documented(command):
            assert fnmatch.filter(written, pattern), f"{pattern} of {command} is not written"
