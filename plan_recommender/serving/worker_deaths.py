"""What the supervisor counts: workers that died, by cause, and workers that took the place of others.

The supervisor answers no requests. It writes its counts into the folder of prometheus_client in which the workers have
theirs, so that any worker shows them on /metrics. It also removes the values of workers that have ended from there.
"""

import os
import signal
from pathlib import Path
from time import monotonic
from typing import Final

CAUSES: Final = ("oom", "killed", "crashed", "exited")
"""Why workers die: `oom`, the system ended it for want of memory; `killed`, by SIGKILL of somebody else; `crashed`, by
another signal, such as a segmentation fault; `exited`, by itself, such as one that finds no model."""

REASONS: Final = ("death", "renewal")
"""Why a worker takes the place of another: it died, or SIGHUP asked for new workers."""

_FRESH_SECONDS: Final = 5.0
"""How long after the system ended a process for want of memory a SIGKILL is taken for that. The count rises first, the
process ends some milliseconds later, and the supervisor looks every second."""

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


class WorkerDeaths:
    """The counts of one supervisor."""

    def __init__(self, folder: str) -> None:
        """Count in this folder of prometheus_client's multiprocess mode; all series begin at 0."""
        # Not at the top: workers and `bentoml build` have no use for it.
        from prometheus_client import Counter, values

        # prometheus_client chose its kind of values when it was imported, before BentoML had chosen the folder.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        chosen = values.ValueClass
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # it has no types
        try:
            deaths = Counter("plan_recommender_worker_deaths", "Workers that died, by cause.", ["cause"], registry=None)
            restarts = Counter(
                "plan_recommender_worker_restarts", "Workers started in place of others.", ["reason"], registry=None
            )
            self._deaths = {cause: deaths.labels(cause) for cause in CAUSES}
            self._restarts = {reason: restarts.labels(reason) for reason in REASONS}
        finally:
            values.ValueClass = chosen
        self._folder = folder
        self._killed = _killed_for_memory()
        self._killed_at = -_FRESH_SECONDS

    def look(self) -> None:
        """Note whether the system has ended a process for want of memory; call this about once a second."""
        killed = _killed_for_memory()
        if killed > self._killed:
            self._killed_at = monotonic()
        self._killed = killed

    def died(self, pid: int, status: int) -> str:
        """Count a worker that died, by the status that os.waitpid gave; gives the cause, one of `CAUSES`."""
        self.look()
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            cause = "exited"
        elif -code != signal.SIGKILL:
            cause = "crashed"
        else:
            cause = "oom" if monotonic() - self._killed_at < _FRESH_SECONDS else "killed"
        self._deaths[cause].inc()
        self._restarts["death"].inc()
        self.forget(pid)
        return cause

    def renewed(self, pid: int) -> None:
        """Count a worker whose place another has taken, and which has ended."""
        self._restarts["renewal"].inc()
        self.forget(pid)

    def forget(self, pid: int) -> None:
        """Remove from /metrics what holds only while a worker lives: its memory, its queues, its model."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]  # it has no types


def _killed_for_memory() -> int:
    """Tell how many processes of this process's control group the system has ended for want of memory; 0: none told.

    In a container the group is the container's. Version 2 of control groups counts in memory.events, version 1 in
    memory.oom_control.
    """
    try:
        groups = [line.split(":", 2) for line in _OWN.read_text().splitlines()]
    except OSError:
        return 0
    for _, controllers, path in groups:
        if not controllers:
            places = [_CGROUPS / path.lstrip("/") / "memory.events", _CGROUPS / "memory.events"]
        elif controllers == "memory":
            mounted = _CGROUPS / "memory"  # in a container, of its own group, whatever the path says
            places = [mounted / path.lstrip("/") / "memory.oom_control", mounted / "memory.oom_control"]
        else:
            continue
        for place in places:
            try:
                counts = dict(line.split() for line in place.read_text().splitlines())
            except OSError:
                continue
            if "oom_kill" in counts:
                return int(counts["oom_kill"])
    return 0
