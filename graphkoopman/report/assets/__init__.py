"""Files that every page carries: style, script and 3Dmol.js with its licence."""
