"""Watch drift while the service runs: a thread of each worker stores its counts, and one of them looks at all.

Nothing here is in the way of a prediction. Whatever fails is logged once, counted, and tried again a second later;
meanwhile the series say that drift is not watched.
"""

import atexit
import logging
import math
import os
import shutil
import threading
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import numpy as np

from plan_recommender.errors import PlanRecommenderError
from plan_recommender.monitoring.counters import DriftCounters
from plan_recommender.monitoring.layout import Counts
from plan_recommender.monitoring.model_bins import ModelBins
from plan_recommender.monitoring.shared_counts import CountsFile, SharedFolder
from plan_recommender.monitoring.watch import Watch, Watched, WatchSettings
from plan_recommender.serving.drift_series import DriftSeries, drift_series
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.settings import variable

STORE_SECONDS: Final = 1.0
"""How often a worker stores its counts, and so how much of them is lost when it is killed."""

LOOK_SECONDS: Final = 5.0
"""How often the counts of all workers are looked at."""

_END_SECONDS: Final = 2.0
"""How long a worker that ends waits for its counts to be stored: the disk may hang."""

logger = logging.getLogger("bentoml.plan_recommender")


def prepare() -> None:
    """Make a temporary folder for the workers that will be started, unless the environment names one.

    It is deleted when this process ends. Without one, nothing is watched, but everything is answered.
    """
    name = variable("drift_state")
    if os.environ.get(name):
        return
    try:
        folder = mkdtemp(prefix="plan-recommender-drift-")
    except OSError as error:
        logger.warning("drift is not watched: %s", error)
        return
    os.environ[name] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def begin(recommender: Recommender, state: Path | None) -> "DriftWatch | None":
    """Begin to count what a recommender answers, and to watch it.

    Args:
        recommender: of the model that is served.
        state: the folder that all workers share; each model has a folder of its own in it.

    Returns None, and logs why, if there is no such folder, or nothing to compare with was stored with the model.
    """
    series = drift_series()
    try:
        if state is None:
            raise PlanRecommenderError("expected a folder for the counts of all workers, found none")
        profile = recommender.model.profile()
        bins = ModelBins(profile, recommender.cuts)
        watch = Watch(profile, WatchSettings.of(recommender.model.record.settings))
    except PlanRecommenderError as error:
        logger.warning("drift is not watched: %s", error)
        series.failed()
        return None
    counters = DriftCounters(bins)
    recommender.count(counters.row, counters.block)
    begun = DriftWatch(counters, watch, state / recommender.tag.rpartition(":")[2], series)
    begun.start()
    return begun


class DriftWatch:
    """The watch of one worker."""

    def __init__(self, counters: DriftCounters, watch: Watch, folder: Path, series: DriftSeries) -> None:
        """Watch what is counted; the folder of all workers is made when it is first used."""
        self._counters = counters
        self._watch = watch
        self._folder = folder
        self._series = series
        self._shared = SharedFolder(folder, watch.layout.cells)
        self._file: CountsFile | None = None
        self._stored: Counts | None = None
        self._looked_at = -math.inf
        self._seen: tuple[bytes, int, float | None] | None = None
        self._trouble = ""
        self._damaged: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Store the last counts, and end the thread."""
        self._ending.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        self._take_care()  # at once, so that the series are there as soon as the worker answers
        while not self._ending.wait(STORE_SECONDS):
            self._take_care()
        self._take_care()
        if self._file is not None:
            self._file.close()

    def _take_care(self) -> None:
        """Store, and look if it is time to."""
        try:
            self._store()
            if time.monotonic() - self._looked_at >= LOOK_SECONDS and not self._ending.is_set():
                self._looked_at = time.monotonic()
                self._look(time.time())
            self._trouble = ""
        except Exception as error:
            self._series.failed()
            self._complain(str(error) or type(error).__name__)

    def _store(self) -> None:
        """Store the counts of this worker, if there are new ones."""
        counts = self._counters.counts()
        error, self._counters.error = self._counters.error, None
        if error is not None:
            raise error
        if self._file is None:
            self._file = CountsFile(self._folder, len(counts))
        if self._stored is None or self._file.is_lost() or not np.array_equal(counts, self._stored):
            self._file.write(counts)
            self._stored = counts

    def _look(self, now: float) -> None:
        """Look at the counts of all workers, unless another worker does."""
        with self._shared.alone() as alone:
            if not alone:
                return
            found = self._shared.read()
            if found.damaged != self._damaged:
                self._damaged = found.damaged
                lost = ", so that a verdict from before is lost" if "state.json" in found.damaged else ""
                named = ", ".join(found.damaged)
                logger.warning("left out of the counts in %s, as damaged: %s%s", self._folder, named, lost)
            fresh = self._watch.begin(now)
            watched, changed = found.watched, found.changed
            if watched is None or not _continues(watched, found.totals, fresh):
                if watched is not None:
                    logger.warning("drift is watched anew: the counts in %s are fewer than before", self._folder)
                watched, changed = fresh, True
            hour, since = watched.state.hour, watched.since
            seen = (found.totals.tobytes(), int(now // 3600), since)
            if changed or seen != self._seen:
                look = self._watch.look(watched, found.totals, now)
                if changed or (hour, since) != (watched.state.hour, watched.since):
                    self._shared.store(watched)
                if since != watched.since:
                    logger.warning("drift: usage differs from the model's training in %s", ", ".join(watched.parts))
                self._series.show(look, watched)
                self._seen = seen
            self._series.looked(now)

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once as long as it is the same."""
        if trouble != self._trouble:
            logger.error("drift is not watched: %s", trouble)
        self._trouble = trouble


def _continues(watched: Watched, totals: Counts, fresh: Watched) -> bool:
    """Tell whether counts can have grown out of what is stored: nothing was deleted, and the layout is the same."""
    state = watched.state
    return state.bets.shape == fresh.state.bets.shape and bool((totals >= state.totals).all())
