"""Names of packages in the one spelling in which they can be compared."""

import re


def normalised(name: str) -> str:
    """Spell a package's name as PyPI compares it: lower case, runs of `-_.` as one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()
