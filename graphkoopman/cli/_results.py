"""Every analysis of the states that the data allow: `write_analyses`."""

from collections.abc import Callable
from pathlib import Path

from tqdm.auto import tqdm

from graphkoopman.cli._console import Console
from graphkoopman.cli._request import Request
from graphkoopman.cli._structure import (
    write_charge,
    write_map,
    write_neighbourhoods,
    write_profile,
    write_rdf,
)
from graphkoopman.cli._transport import (
    write_conduction,
    write_diffusion,
    write_displacement,
    write_residence,
)

ANALYSES: dict[str, tuple[tuple[str, ...], Callable[[Path, Request], None]]] = {
    "radial distribution functions": (("cell",), write_rdf),
    "charge integral": (("charges",), write_charge),
    "profile along c": (("cell",), write_profile),
    "map of the cell": (("cell",), write_map),
    "neighbourhoods": ((), write_neighbourhoods),
    "displacement of transitions": ((), write_displacement),
    "diffusion of transitions": ((), write_diffusion),
    "conduction": (("cell", "state_charges", "temperature"), write_conduction),
    "residence times": ((), write_residence),
}


def write_analyses(folder: Path, request: Request, console: Console) -> None:
    """Run every analysis that the data allow, and name what the others lack.

    One that cannot be done on these data does not stop the others.
    """
    missing = {name: request.missing(needs) for name, (needs, _) in ANALYSES.items()}
    able = [name for name in ANALYSES if not missing[name]]
    with tqdm(able, unit="analysis", disable=not console.shows_progress) as progress:
        for name in progress:
            progress.set_description(name)
            try:
                ANALYSES[name][1](folder, request)
            except ValueError as error:
                console.warn(f"{name} could not be done on these data: {error}")
    console.say()
    for name in ANALYSES:
        if missing[name]:
            console.say(f"not run: {name}, which needs {' and '.join(missing[name])}")
