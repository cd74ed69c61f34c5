"""What a comparison could show, before it is run: its runs, and the differences they can tell."""

from collections.abc import Sequence

from pipelines.compare import ArmRun
from rft.errors import shown

from rft.recipe import Recipe
