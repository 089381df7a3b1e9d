"""Write the inventories that stand in for those of other projects where there is no network.

``python docs/extensions/make_inventories.py``: the names that our pages refer to, and where their
own pages have them. A name that is missing is a warning of the build.
"""

from pathlib import Path
from zlib import compress

FOLDER = Path(__file__).parents[1] / "_inventories"
HEADER = (
    b"# Sphinx inventory version 2\n# Project: %s\n# Version: any\n"
    b"# The remainder of this file is compressed using zlib.\n"
)
# project: {page: names}, "$" stands for the name
NAMES = {
    "ase": {"ase/atoms.html#$": {"class": ["ase.Atoms"]}},
    "deeptime": {
        "api/generated/$.html#$": {
            "class": [
                "deeptime.base.BayesianModel",
                "deeptime.base.Model",
                "deeptime.decomposition.KoopmanModel",
                "deeptime.decomposition.TransferOperatorModel",
                "deeptime.decomposition.deep.VAMPNet",
                "deeptime.markov.msm.MarkovStateModel",
            ],
            "function": [
                "deeptime.util.validation.ck_test",
                "deeptime.util.validation.implied_timescales",
            ],
        }
    },
    "joblib": {"generated/$.html#$": {"class": ["joblib.Parallel"]}},
    "matplotlib": {"api/_as_gen/$.html#$": {"class": ["matplotlib.axes.Axes"]}},
    "mdtraj": {"api/generated/$.html#$": {"class": ["mdtraj.Topology", "mdtraj.Trajectory"]}},
    "numpy": {
        "reference/generated/$.html#$": {"class": ["numpy.dtype", "numpy.ndarray"]},
        "reference/arrays.scalars.html#$": {"class": ["numpy.float32", "numpy.float64"]},
    },
    "pandas": {"reference/api/$.html#$": {"class": ["pandas.DataFrame"]}},
    "python": {"library/exceptions.html#$": {"exception": ["ValueError"]}},
    "sklearn": {"modules/generated/$.html#$": {"class": ["sklearn.model_selection.GridSearchCV"]}},
    "torch": {"generated/$.html#$": {"class": ["torch.nn.Module"]}},
}


def main():
    """Write one file for each project."""
    FOLDER.mkdir(exist_ok=True)
    for project, pages in NAMES.items():
        lines = [
            f"{name} py:{role} 1 {page} -"
            for page, roles in pages.items()
            for role, names in roles.items()
            for name in names
        ]
        body = compress("".join(f"{line}\n" for line in sorted(lines)).encode())
        (FOLDER / f"{project}.inv").write_bytes(HEADER % project.encode() + body)


if __name__ == "__main__":
    main()
