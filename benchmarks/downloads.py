"""How much an installation downloads, by platform: ``python -m benchmarks.downloads``.

Resolves the package with uv, which must be installed, for platforms and versions of Python that
need not be here, and adds up the sizes of the wheels. Nothing is downloaded but metadata.
"""

import argparse
import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# what uv calls the platform, and what wheels call it
PLATFORMS = {
    "Linux": ("x86_64-manylinux_2_28", "x86_64"),
    "macOS": ("aarch64-apple-darwin", "macosx"),
    "Windows": ("x86_64-pc-windows-msvc", "win_amd64"),
}
TORCH = ("torch", "nvidia-", "triton", "cuda-")


def size_of(package: dict[str, Any], python: str, tag: str) -> int | None:
    """Bytes of the smallest wheel that fits, or None where there is only source."""
    cpython = "cp" + python.replace(".", "")
    minor = int(python.split(".")[1])
    sizes = []
    for wheel in package.get("wheels", ()):
        version, abi, platform = (
            wheel["url"].rsplit("/", 1)[-1].removesuffix(".whl").split("-")[-3:]
        )
        stable = abi == "abi3" and int(version.split(".")[-1].removeprefix("cp3")) <= minor
        pure = "py3" in version.split(".") or stable
        fits = platform == "any" or (tag in platform and "musllinux" not in platform)
        if fits and (pure or (version == cpython and not abi.endswith("t"))):
            sizes.append(wheel["size"])
    return min(sizes, default=None)


def resolved(folder: Path, extra: str, python: str, platform: str) -> dict[str, str]:
    """Versions that uv chooses, by name."""
    command = ["uv", "pip", "compile", "--quiet", "pyproject.toml", "--python-version", python]
    command += ["--python-platform", platform, *(("--extra", extra) if extra else ())]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", done.stdout, flags=re.MULTILINE))


def main() -> None:
    """Print one row for each extra, platform and version of Python."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extras", nargs="*", default=["", "tutorials", "test"])
    parser.add_argument("--pythons", nargs="*", default=["3.11", "3.12", "3.13", "3.14"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in ("pyproject.toml", "README.md", "LICENSE", "graphkoopman"):
            (folder / path).symlink_to(ROOT / path)
        subprocess.run(["uv", "lock", "--quiet"], cwd=folder, check=True)
        locked = tomllib.loads((folder / "uv.lock").read_text("utf-8"))["package"]
        packages = {(package["name"], package.get("version")): package for package in locked}
        latest = {package["name"]: package for package in locked}
        print(
            "| extra | platform | Python | packages | MB | of that torch and CUDA | only source |"
        )
        print("|---|---|---|---|---|---|---|")
        for extra in options.extras:
            for system, (platform, tag) in PLATFORMS.items():
                for python in options.pythons:
                    names = resolved(folder, extra, python, platform)
                    sizes = {
                        # an extra can hold a package back in the lock of all: its size is near
                        item[0]: size_of(packages.get(item, latest[item[0]]), python, tag)
                        for item in names.items()
                        if item[0] in latest
                    }
                    total = sum(filter(None, sizes.values()))
                    torch = sum(v or 0 for k, v in sizes.items() if k.startswith(TORCH))
                    source = ", ".join(key for key, size in sizes.items() if size is None)
                    print(
                        f"| {extra or 'none'} | {system} | {python} | {len(names)} | "
                        f"{total / 1e6:.0f} | {torch / 1e6:.0f} | {source} |"
                    )


if __name__ == "__main__":
    main()
