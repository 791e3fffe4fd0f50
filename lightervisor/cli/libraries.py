"""Importing what is not of the standard library.

The launcher starts Python without site-packages, for speed, and says in `SITE_PACKAGES` where they are.
"""

from __future__ import annotations

import sys


def reach() -> None:
    """Make the installed libraries importable; doing it twice changes nothing."""
    import __main__

    folder = getattr(__main__, "SITE_PACKAGES", "")
    if folder and folder not in sys.path:
        sys.path.append(folder)
