"""Packages that only some functions need: `missing`.

Messages name the package itself: that line works however graphkoopman was installed.
"""

# extra of pyproject.toml: name as said, requirement, module
OPTIONAL = {
    "ase": ("ASE", "ase>=3.29", "ase"),
    "chgnet": ("CHGNet", "chgnet>=0.4.2", "chgnet"),
    "chemiscope": ("chemiscope", "chemiscope>=1.0", "chemiscope"),
    "completion": ("shtab", "shtab>=1.7", "shtab"),
    "dask": ("dask", "distributed>=2024.12", "distributed"),
    "fetch": ("pooch", "pooch>=1.8", "pooch"),
    "freud": ("freud", "freud-analysis>=3.2", "freud"),
    "mdanalysis": ("MDAnalysis", "MDAnalysis>=2.8", "MDAnalysis"),
    "metatomic": ("metatomic", "metatomic-ase>=0.1.4", "metatomic_ase"),
    "pandas": ("pandas", "pandas>=2.2", "pandas"),
    "pymatgen": ("pymatgen", "pymatgen>=2025.1.9", "pymatgen"),
    "soap": ("DScribe", "dscribe>=2.1", "dscribe"),
}


def missing(extra: str, purpose: str, otherwise: str = "") -> ImportError:
    """The error to raise where a package is not installed.

    Parameters
    ----------
    extra : str
        Of pyproject.toml, which the package belongs to.
    purpose : str
        What needs it, the subject of the sentence: ``"bond_order"``.
    otherwise : str
        What can be done without it.

    Returns
    -------
    ImportError
    """
    name, requirement, module = OPTIONAL[extra]
    end = f"; or {otherwise}" if otherwise else ""
    return ImportError(
        f'{purpose} needs {name}: python -m pip install "{requirement}" '
        f'(the extra "{extra}" of graphkoopman){end}',
        name=module,
    )
