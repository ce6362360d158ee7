"""Advise on a file of months and print the peak of this process's memory (MB); with `keep`, hold all rows besides.

Blocks and ranges are an eighth of the usual ones, so that a file that is much larger than both need not be large.
"""

import re
import sys
from pathlib import Path

from plan_recommender.advising.files import Advising, advise_files
from plan_recommender.advising.runs import RANGE_ROWS
from plan_recommender.advising.sources import BLOCK_BYTES
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.table_file import open_table
from tests.made_up_months import adviser

source, out, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
kept = []
if mode == "keep":
    with open_table(source, MonthsFormat()) as table:
        kept = [row for chunk in table.chunks() for row in chunk.rows]
advising = Advising(adviser(), block_bytes=BLOCK_BYTES // 8, range_rows=RANGE_ROWS // 8)
advised = advise_files([source], out, out.with_suffix(".rejects"), advising)
assert advised.rejected == 0
assert len(kept) in (0, advised.rows)
# Not the ru_maxrss of getrusage, which begins with the memory of the process that started this one.
print(int(re.findall(r"^VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[0]) // 1024)
