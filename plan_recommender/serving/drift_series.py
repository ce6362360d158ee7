"""The Prometheus series of the drift watch: 3 a part of the reference at most, and 9 more, whatever is sent.

The gauges are those of the worker that looked last, because each look is at the counts of all workers.
"""

from functools import cache

from plan_recommender.monitoring.watch import Look, Watched


class DriftSeries:
    """The series of one worker; prometheus_client's multiprocess mode shows the latest of all workers."""

    def __init__(self) -> None:
        # Not at the top: BentoML tells prometheus_client where the workers' files are after it has imported us.
        import prometheus_client

        def gauge(name: str, help_text: str, *labels: str) -> prometheus_client.Gauge:
            return prometheus_client.Gauge(
                f"plan_recommender_drift{name}", help_text, labels, multiprocess_mode="mostrecent"
            )

        self._verdict = gauge("", "1 if usage has drifted from what the model was trained on, 0 if not; it stays 1.")
        self._since = gauge("_since_seconds", "When the verdict became drift, in Unix time; 0 if it has not.")
        self._begun = gauge("_begun_seconds", "When counting began, in Unix time.")
        self._looked = gauge("_looked_seconds", "When a worker last looked at the counts of all, in Unix time.")
        self._watching = gauge("_watching", "1 if drift is watched, 0 if counting or looking fails.")
        self._rows = gauge("_rows", "Rows counted since counting began.")
        self._window_rows = gauge("_window_rows", "Rows counted in the last seven days, today included.")
        self._evidence = gauge("_evidence_days", "Evidence that usage has drifted; the verdict is drift from 1000 on.")
        self._distance = gauge("_distance", "Distance from the reference, over the last seven days.", "part")
        self._psi = gauge("_psi", "Population stability index, over the last seven days.", "part")
        self._parts = gauge("_part_evidence_days", "What a part adds to the evidence.", "part")
        self._failures = prometheus_client.Counter(
            "plan_recommender_drift_failures", "Attempts to count, to store counts or to look at them that failed."
        )

    def show(self, look: Look, watched: Watched) -> None:
        """Show what was found."""
        self._verdict.set(watched.since is not None)
        self._since.set(watched.since or 0)
        self._begun.set(watched.begun)
        self._rows.set(look.rows)
        self._window_rows.set(look.window_rows)
        self._evidence.set(look.evidence_days)
        for metric, values in (
            (self._distance, look.distances),
            (self._psi, look.psi),
            (self._parts, look.part_evidence_days),
        ):
            for part, value in values.items():
                metric.labels(part).set(value)

    def looked(self, now: float) -> None:
        """Show that somebody has looked, in Unix time, and that drift is watched."""
        self._looked.set(now)
        self._watching.set(1)

    def failed(self) -> None:
        """Show that the verdict is unknown."""
        self._failures.inc()
        self._watching.set(0)


@cache
def drift_series() -> DriftSeries:
    """Give the one `DriftSeries` of this process; the first call makes it."""
    return DriftSeries()
