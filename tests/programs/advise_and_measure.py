"""Advise on a file of months and print the peak of this process's memory (MB); with `keep`, hold all rows besides.

A tenth of the usual rows are read at a time, and a tenth of the usual pages are in memory, so that a file that is much
larger than both need not be large.
"""

import re
import sys
from pathlib import Path

import advise
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data import csv_file, month_spill
from plan_recommender.data.table_file import open_table
from tests.made_up_months import adviser

csv_file.CHUNK_ROWS //= 10
usual, small = (f"cache_size = -{kilobytes};" for kilobytes in (month_spill._CACHE_KB, month_spill._CACHE_KB // 10))
assert usual in month_spill._SET_UP
month_spill._SET_UP = month_spill._SET_UP.replace(usual, small)  # type: ignore[misc]  # Final, but for this program

source, out, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
kept = []
if mode == "keep":
    with open_table(source, MonthsFormat()) as table:
        kept = [row for chunk in table.chunks() for row in chunk.rows]
with open_table(source, MonthsFormat()) as table:
    intake, _ = advise.advise_table(table, out, out.with_suffix(".rejects"), adviser(), None)
assert intake.rejected == 0
assert len(kept) in (0, intake.rows)
# Not the ru_maxrss of getrusage, which begins with the memory of the process that started this one.
print(int(re.findall(r"^VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[0]) // 1024)
