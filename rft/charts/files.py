"""Charts as files: SVG, PNG and the specification, the same bytes for the same data."""

import json
import re
from pathlib import Path
from typing import Any

from rft.charts.style import CONFIG
from rft.errors import RFTError
from rft.foreign_text import visible
from rft.runs.atomic import whole_file
from rft.runs.leftovers import ABANDONED, remove_left_beside

VEGA_LITE = "6.4"  # what altair writes, of those that vl-convert can draw
SHARPNESS = 2.0  # pixels of a PNG for each of the SVG
EXTRA = "'rft-rounds[report]'"


def altair() -> Any:
    """Import altair, or say what to install."""
    try:
        import altair as library
    except ImportError:
        raise _missing("altair") from None
    return library


def _drawing() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise _missing("vl-convert-python") from None
    return vl_convert


def _missing(package: str) -> RFTError:
    return RFTError(f"figures need {package}, which is not installed; pip install {EXTRA}")


def refuse_missing_charts() -> None:
    """Say at once that figures cannot be made here, before anything is computed for them."""
    altair()
    _drawing()


def specification(chart: Any) -> dict[str, Any]:
    """Give a chart as Vega-Lite, its data and its looks inside: what a page embeds."""
    return {**_visible(chart.to_dict()), "config": CONFIG}


def _visible(value: Any) -> Any:
    """Escape what an SVG may not hold in all texts of a chart: who draws one would end us."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {name: _visible(each) for name, each in value.items()}
    return [_visible(each) for each in value] if isinstance(value, list) else value


def svg_of(spec: dict[str, Any]) -> str:
    """Draw a specification as SVG; nothing may be loaded, and no chart of ours asks for that."""
    drawn = _drawing().vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return str(drawn)


def write(chart: Any, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg, NAME.png and NAME.json, each there whole or not at all."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name), f"not a name of a file: {name!r}"
    spec = specification(chart)
    svg = svg_of(spec)  # drawn before any is written
    contents = {
        "svg": svg.encode(),
        "png": _drawing().svg_to_png(svg, scale=SHARPNESS),
        "json": json.dumps(spec, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n",
    }
    paths = []
    for kind, content in contents.items():
        path = folder / f"{name}.{kind}"
        remove_left_beside(path, idle=ABANDONED)
        with whole_file(path) as file:
            file.write(content)
        paths.append(path)
    return paths
