"""Other programs for a file: copies without scoring, and what somebody with pandas and scikit-learn would write.

usage: python -m benchmark.peers.file_copies pyarrow|csv|parquet|pandas IN OUT [PIPELINE]
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

FEATURES: Final = ["calls", "minutes", "messages", "mb_used"]


def copy_text(source: str, output: str) -> None:
    """Read and write a CSV as text with pyarrow, in its stream of batches, with default options but on one thread."""
    import pyarrow as pa
    import pyarrow.csv as pc

    with Path(source).open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    reader = pc.open_csv(
        source,
        read_options=pc.ReadOptions(use_threads=False),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    with pc.CSVWriter(output, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def copy_rows(source: str, output: str) -> None:
    """Read and write a CSV row by row with Python's csv module."""
    with Path(source).open(newline="") as read, Path(output).open("w", newline="") as write:
        csv.writer(write, lineterminator="\n").writerows(csv.reader(read))


def copy_parquet(source: str, output: str) -> None:
    """Read and write a Parquet file with pyarrow on one thread, batch by batch."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file, pq.ParquetWriter(output, file.schema_arrow) as writer:
        for batch in file.iter_batches(use_threads=False):
            writer.write_batch(batch)


def score_with_pandas(source: str, output: str, pipeline: str) -> None:
    """Score a CSV with the fitted pipeline, as in a notebook."""
    import joblib
    import pandas as pd

    table = pd.read_csv(source)
    table["proba_is_ultra"] = joblib.load(pipeline).predict_proba(table[FEATURES])[:, 1]
    table["pred_is_ultra"] = (table["proba_is_ultra"] >= 0.5).astype(int)
    table.to_csv(output, index=False)


PROGRAMS: Final[dict[str, Callable[..., None]]] = {
    "pyarrow": copy_text,
    "csv": copy_rows,
    "parquet": copy_parquet,
    "pandas": score_with_pandas,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
