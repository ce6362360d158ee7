"""Outputs appear whole or not at all, and what was there before survives a failure."""

import errno
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plan_recommender.data.outputs import holding_signals, replacing, staged_directory, uninterrupted
from plan_recommender.errors import OutputError


class InjectedError(Exception):
    """What the tests break a block with."""


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.csv"
    with replacing(path) as file:
        file.write("a\r\nb\n")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"a\r\nb\n"
    assert os.listdir(path.parent) == ["out.csv"]


@pytest.mark.parametrize("error", [InjectedError, KeyboardInterrupt, SystemExit])
def test_a_failed_block_leaves_the_previous_file_and_no_trace(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.csv"
    path.write_text("previous")

    def fail() -> None:
        with replacing(path) as file:
            file.write("half of the new")
            file.flush()
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == {"out.csv": "previous"}


def test_a_failed_block_makes_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "out.csv"):
            raise InjectedError

    with pytest.raises(InjectedError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_put_in_place_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("previous")

    def fail(*_: object) -> None:
        raise InjectedError

    monkeypatch.setattr("plan_recommender.data.outputs.os.replace", fail)
    with pytest.raises(InjectedError), replacing(path) as file:
        file.write("new")
    assert contents(tmp_path) == {"out.csv": "previous"}
    monkeypatch.undo()  # the control: without the fault the same block replaces it
    with replacing(path) as file:
        file.write("new")
    assert contents(tmp_path) == {"out.csv": "new"}


def test_bytes_that_are_not_utf8_go_through_untouched(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.csv") as file:
        file.write(b"caf\xe9 \xff".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "out.csv").read_bytes() == b"caf\xe9 \xff"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_are_what_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        with replacing(tmp_path / "out.csv"):
            pass
        with staged_directory(tmp_path / "folder") as staging:
            (staging.path / "file").write_text("")
            staging.publish()
        assert os.umask(mask) == mask  # asking for the umask did not change it
    assert mode(tmp_path / "out.csv") == 0o666 & ~mask
    assert mode(tmp_path / "folder") == 0o777 & ~mask


def test_a_folder_or_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("previous")
    with (
        pytest.raises(OutputError, match=r"expected a file that can be written, found: Is a directory"),
        replacing(tmp_path),
    ):
        pass
    with (
        pytest.raises(OutputError, match=r"expected a file that can be written, found: (Not a directory|File exists)"),
        replacing(tmp_path / "file" / "out.csv"),
    ):
        pass
    assert contents(tmp_path) == {"file": "previous"}


def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"  # stands for /dev/null and /dev/stdout, which root would lose
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="expected a file that can be written"), replacing(pipe) as file:
        file.write("new")
    assert pipe.is_fifo()


def test_a_folder_is_published_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "artifacts"
    with staged_directory(target) as staging:
        (staging.path / "one").write_text("1")
        (staging.path / "two").write_text("2")
        assert not target.exists()
        staging.publish()
        assert contents(target) == {"one": "1", "two": "2"}
    assert contents(target) == {"one": "1", "two": "2"}
    assert os.listdir(target.parent) == ["artifacts"]


def test_what_was_not_staged_anew_stays(tmp_path: Path) -> None:
    target = previous_folder(tmp_path)
    (target / "deep" / "er").mkdir(parents=True)
    (target / "deep" / "er" / "kept").write_text("kept")
    (target / "gone").symlink_to("nowhere")
    with staged_directory(target) as staging:
        (staging.path / "replaced").write_text("new")
        staging.publish()
    assert contents(target) == {"replaced": "new", "kept": "previous", "deep/er/kept": "kept"}
    assert os.readlink(target / "gone") == "nowhere"
    assert os.listdir(tmp_path) == ["artifacts"]


def test_a_failed_block_leaves_the_previous_folder_and_no_trace(tmp_path: Path) -> None:
    target = previous_folder(tmp_path)

    def fail() -> None:
        with staged_directory(target) as staging:
            (staging.path / "replaced").write_text("new")
            raise InjectedError

    with pytest.raises(InjectedError):
        fail()
    assert contents(tmp_path) == {"artifacts/replaced": "previous", "artifacts/kept": "previous"}


@pytest.mark.parametrize("new_file", ["replaced", "added"])
def test_what_was_published_can_be_taken_back(tmp_path: Path, new_file: str) -> None:
    target = previous_folder(tmp_path)
    before = contents(target)
    with staged_directory(target) as staging:
        (staging.path / new_file).write_text("new")
        staging.publish()
        assert contents(target) == before | {new_file: "new"}
        staging.withdraw()
    assert contents(target) == before


def test_taking_the_first_run_back_leaves_no_file(tmp_path: Path) -> None:
    target = tmp_path / "artifacts"
    with staged_directory(target) as staging:
        (staging.path / "metrics.json").write_text("new")
        staging.publish()
        staging.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_published_is_not_taken_back(tmp_path: Path) -> None:
    target = previous_folder(tmp_path)
    before = contents(target)
    with staged_directory(target) as staging:
        (staging.path / "replaced").write_text("new")
        staging.withdraw()
    assert contents(target) == before


def test_a_failed_exchange_leaves_the_previous_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = previous_folder(tmp_path)
    before = contents(target)

    def fail(*_: object) -> None:
        raise InjectedError

    monkeypatch.setattr("plan_recommender.data.outputs._exchange", fail)
    with staged_directory(target) as staging:
        (staging.path / "replaced").write_text("new")
        with pytest.raises(InjectedError):
            staging.publish()
    assert contents(target) == before
    assert os.listdir(tmp_path) == ["artifacts"]


def test_folders_are_exchanged_where_the_kernel_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = previous_folder(tmp_path)
    monkeypatch.setattr("plan_recommender.data.outputs.sys.platform", "darwin")
    with staged_directory(target) as staging:
        (staging.path / "replaced").write_text("new")
        staging.publish()
    assert contents(target) == {"replaced": "new", "kept": "previous"}
    assert os.listdir(tmp_path) == ["artifacts"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    elsewhere = previous_folder(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    with staged_directory(link) as staging:
        (staging.path / "replaced").write_text("new")
        staging.publish()
    assert link.is_symlink()
    assert contents(elsewhere) == {"replaced": "new", "kept": "previous"}
    assert sorted(os.listdir(tmp_path)) == ["artifacts", "link"]


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_the_working_directory_and_those_above_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    with (
        pytest.raises(OutputError, match=r"expected a folder of its own, found the working directory or one above it"),
        staged_directory(Path(target)),
    ):
        pass
    assert os.listdir(tmp_path) == ["deep"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("previous")
    with (
        pytest.raises(OutputError, match="expected a folder that can be written, found: Not a directory"),
        staged_directory(tmp_path / "artifacts"),
    ):
        pass
    assert contents(tmp_path) == {"artifacts": "previous"}


def previous_folder(tmp_path: Path) -> Path:
    target = tmp_path / "artifacts"
    target.mkdir()
    (target / "replaced").write_text("previous")
    (target / "kept").write_text("previous")
    return target


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("previous")
    path.chmod(0o640)
    with replacing(path) as file:
        file.write("new")
    assert (path.read_text(), mode(path)) == ("new", 0o640)


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        pytest.raises(OutputError, match=r"out\.csv: expected to write it to its end, found: No space left on device"),
        replacing(path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_block_has_ended(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done = []

    def interrupt_twice() -> None:
        with uninterrupted():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("the whole block")

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert done == ["the whole block"]
    assert signal.getsignal(number) == before


def test_a_block_without_a_signal_ends_as_any_other() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with uninterrupted():
        assert [signal.getsignal(number) for number in numbers] != before  # the control: in the block they wait
    assert [signal.getsignal(number) for number in numbers] == before
    with pytest.raises(KeyError), uninterrupted():
        raise KeyError
    assert [signal.getsignal(number) for number in numbers] == before


def test_what_may_be_interrupted_is_left_undone_and_the_block_goes_on() -> None:
    done = []
    with holding_signals() as held:
        assert held.interruptible(lambda: done.append("first"))

        def be_interrupted() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("not reached")

        assert not held.interruptible(be_interrupted)
        os.kill(os.getpid(), signal.SIGINT)  # again
        assert not held.interruptible(lambda: done.append("not begun"))
        done.append("last")
    assert done == ["first", "last"]
    with holding_signals() as held, pytest.raises(KeyError):
        held.interruptible(lambda: dict[str, int]()["fails"])


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """Ctrl-C is not for a script's commands in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with holding_signals() as held:
            os.kill(os.getpid(), signal.SIGINT)
            assert not held.came
    finally:
        signal.signal(signal.SIGINT, before)
