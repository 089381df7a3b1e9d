"""What residue names tell about the elements of their atoms."""

_WATERS = "HOH SOL WAT H2O D2O DOD TIP TIP2 TIP3 TIP4 TIP5 TIP3P TIP4P TP3 TP4 TP5 T3P T4P SPC SPCE"
_AMINO_ACIDS = """ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL
ASH GLH LYN ARN CYX CYM CYS2 CYSH HID HIE HIP HIS1 HIS2 HISA HISB HISD HISE HISH HSD HSE HSP
LYSH LSN ASPH GLUH MSE SEC PYL HYP NLE NVA ORN ACE NME NMA NAC NH2 FOR"""
_NUCLEOTIDES = """A C G U DA DC DG DT RA RC RG RU ADE CYT GUA THY URA
DA3 DC3 DG3 DT3 DA5 DC5 DG5 DT5 RA3 RC3 RG3 RU3 RA5 RC5 RG5 RU5"""

WATERS = frozenset(_WATERS.split())
_TERMINI = [f"{end}{name}" for end in "NC" for name in _AMINO_ACIDS.split()]  # AMBER's names
BIOPOLYMERS = frozenset([*_AMINO_ACIDS.split(), *_TERMINI, *_NUCLEOTIDES.split()])
SELENIUM = frozenset({"MSE", "SEC"})

# names of ions that are no symbols: CHARMM's, GROMOS' and AMBER's
IONS = {
    "SOD": "Na", "NAP": "Na", "CLA": "Cl", "CLO": "Cl", "CIO": "Cl", "POT": "K", "CAL": "Ca",
    "CES": "Cs", "LIT": "Li", "RUB": "Rb", "BAR": "Ba", "CAD": "Cd", "IOD": "I", "BRO": "Br",
    "MGA": "Mg", "ZIN": "Zn",
}  # fmt: skip
_ION_ELEMENTS = """
Li Na K Rb Cs Be Mg Ca Sr Ba F Cl Br I Al Ga In Tl Zn Cd Hg Cu Ag Au Fe Co Ni Mn Cr Pb Sn Ti
V Y Zr La Ce Nd Sm Eu Gd Tb Dy Er Tm Lu Hf Th U Pu Ra Pd Pt Pr Yb Ho
"""
ION_ELEMENTS = frozenset(_ION_ELEMENTS.split())
# residues that gather several kinds of ions, so that only the atom's name tells them apart
ION_RESIDUES = frozenset({"ION", "IONS", "IP", "IM", "CIP", "CIM"})

# virtual sites and massless particles of water models and polarisable force fields
VIRTUAL = frozenset(
    {"M", "MW", "MW1", "MW2", "EP", "EPW", "LP", "LP1", "LP2", "LPA", "LPB", "OM", "VS", "DUM",
     "MCH3", "MNH3", "IW", "XX"}
)  # fmt: skip

# beads of the Martini force field: in proteins, and in lipids
PROTEIN_BEADS = frozenset({"BB"})
LIPID_BEADS = frozenset({"NC3", "NH3", "PO4", "GL1", "GL2", "GL0", "CNO", "CN0", "AM1", "AM2"})
WATER_BEADS = frozenset({"W", "WF", "PW", "SW", "TW"})
