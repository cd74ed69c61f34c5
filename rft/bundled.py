"""Where the bundled recipes and data are, in a checkout and in an installed wheel alike."""

from pathlib import Path
from typing import Literal

from rft.errors import RFTError

PACKAGE = Path(__file__).resolve().parent


def bundled(kind: Literal["configs", "data"]) -> Path:
    """Find the folder of bundled recipes or data; nobody else builds such paths."""
    places = (PACKAGE / "_bundled" / kind, PACKAGE.parent / kind)
    for place in places:
        if place.is_dir():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise RFTError(f"the bundled {kind} are neither in {looked}; install the package again")
