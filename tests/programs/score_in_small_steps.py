"""Score a file so that it can be killed at many places: `score_in_small_steps.py DOCUMENT IN OUT REJECTS`.

Blocks are small, and places to go on at are noted often. A line on standard output says that the scoring begins.
"""

import sys
from pathlib import Path

from plan_recommender.config.table_format import TableFormat
from plan_recommender.model.tables import read_document
from plan_recommender.scoring import outputs
from plan_recommender.scoring.answers import Answerer
from plan_recommender.scoring.files import Scoring, Task, score_file

document, source, output, rejects = map(Path, sys.argv[1:])
outputs.CHECKPOINT_BYTES = 1 << 15
scoring = Scoring(Answerer(read_document(document.read_bytes())), TableFormat(), None, 2, {"of": "a test"}, 1 << 12)
print("begins", flush=True)
counts = score_file(Task(source, output, rejects), scoring)
print(counts.rows, counts.rejected, counts.earlier)
