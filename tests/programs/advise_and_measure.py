"""Advise on a file of months and print the peak of this process's memory (MB); with `keep`, hold all rows besides."""

import resource
import sys
from pathlib import Path

import advise
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.table_file import open_table
from tests.made_up_months import adviser

source, out, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
kept = []
if mode == "keep":
    with open_table(source, MonthsFormat()) as table:
        kept = [row for chunk in table.chunks() for row in chunk.rows]
with open_table(source, MonthsFormat()) as table:
    intake, _ = advise.advise_table(table, out, out.with_suffix(".rejects"), adviser(), None)
assert intake.rejected == 0
assert len(kept) in (0, intake.rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
