"""What a process took from its start to its end: processor time, time, and the memory that no file stands behind."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmark.measure import pinned
from plan_recommender.errors import PlanRecommenderError

QUIET: Final = 0.15
_SAMPLE_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Taken:
    """What a process took."""

    cpu_seconds: float
    """With its start."""
    seconds: float
    memory: list[tuple[float, float]] = field(repr=False)
    """Anonymous memory (MiB) at moments (seconds since the start); it needs Linux."""
    others: float = 0.0
    """Cores that other processes kept busy meanwhile; with more than `QUIET`, the seconds say little."""

    @property
    def peak_mib(self) -> float:
        """The most anonymous memory."""
        return max((mib for _, mib in self.memory), default=0.0)


def take(command: Sequence[str | Path], cores: set[int], cwd: Path, env: dict[str, str] | None = None) -> Taken:
    """Run a command on some cores and measure it.

    Raises:
        PlanRecommenderError: it fails.
    """
    started, busy = time.monotonic(), _busy_seconds()
    with pinned(cores):  # the process inherits it
        process = subprocess.Popen(
            command, cwd=cwd, env=os.environ | (env or {}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    with process:
        memory: list[tuple[float, float]] = []
        watch = threading.Thread(target=_watch, args=(process.pid, started, memory))
        watch.start()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
    if process.returncode:
        raise PlanRecommenderError(f"{' '.join(map(str, command))}: expected exit code 0, found {said[-500:]}")
    own, seconds = usage.ru_utime + usage.ru_stime, time.monotonic() - started
    return Taken(own, seconds, memory, (_busy_seconds() - busy - own) / seconds)


def _watch(pid: int, started: float, memory: list[tuple[float, float]]) -> None:
    while (mib := _anonymous_mib(pid)) is not None:
        memory.append((time.monotonic() - started, mib))
        time.sleep(_SAMPLE_SECONDS)


def _anonymous_mib(pid: int) -> float | None:
    """Anonymous memory of a process; None once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("RssAnon:")]
    return int(found[0].split()[1]) / 1024 if found else None


def _busy_seconds() -> float:
    """Processor time that was not idle since the machine started, of all cores."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
