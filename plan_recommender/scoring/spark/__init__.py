"""Scoring and advising on Spark: functions for a DataFrame, and the job that `python -m` this package runs."""
