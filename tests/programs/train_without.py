"""Runs train.py where a library is not installed: LIBRARY, and the arguments of train.py."""

import runpy
import sys
from typing import cast

from tests.pictures import blank_pictures

library = sys.argv.pop(1)
cast("dict[str, object]", sys.modules)[library] = None  # importing it fails, as that of a missing one does
sys.argv[0] = "train.py"
with blank_pictures():
    runpy.run_path("train.py", run_name="__main__")
