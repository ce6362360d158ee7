"""Files of every kind through the command: compressed, several, folders, pipes, on all cores, and continued."""

import fcntl
import gzip
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import predict
from plan_recommender.data.compression import packer
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.files import Scoring, Task, score_file
from tests.conftest import Command, TrainedModel
from tools.server import ROOT

DATA = ROOT / "users_behavior.csv"
CONTENT = DATA.read_bytes()


@pytest.fixture
def plain(command: Command, trained: TrainedModel, tmp_path: Path) -> bytes:
    """What the shipped table becomes."""
    out = tmp_path / "plain" / "out.csv"
    assert command(predict.main, "--input", DATA, "--output", out, "--model", trained.tag).code == 0
    return out.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the shipped table in three formats."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CONTENT)
    (folder / "b.csv.gz").write_bytes(gzip.compress(CONTENT))
    (folder / ".hidden").write_text("no table")
    columns = [line.split(",") for line in CONTENT.decode().splitlines()]
    pq.write_table(
        pa.table({name: list(map(float, cells)) for name, *cells in zip(*columns, strict=True)}), folder / "c.parquet"
    )
    return folder


def unpacked(path: Path) -> bytes:
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            content: bytes = stream.read()
            return content
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".csv.zst"])
@pytest.mark.parametrize("name", ["out.csv.gz", "out.csv.zst"])
def test_compressed_text_is_read_and_written(
    command: Command, trained: TrainedModel, tmp_path: Path, plain: bytes, kind: str, name: str
) -> None:
    pack = packer(Path(kind)) or bytes
    source, out = tmp_path / f"in{kind}", tmp_path / name
    source.write_bytes(pack(CONTENT[:10_000]) + pack(CONTENT[10_000:]))  # as `cat` puts compressed files together
    rejects = tmp_path / "rejects.csv.zst"
    arguments = ["--input", source, "--output", out, "--rejects", rejects, "--model", trained.tag]
    assert command(predict.main, *arguments).code == 0
    assert unpacked(out) == plain
    assert unpacked(rejects) == b"row,reason,calls,minutes,messages,mb_used,is_ultra\n"
    source.write_bytes(source.read_bytes()[:-20])
    if kind != ".csv":
        answer = command(predict.main, *arguments)
        assert answer.code == 2
        assert answer.err.startswith(f"error: {source}: expected ")
        assert unpacked(out) == plain


def test_a_folder_is_scored_into_a_folder(
    command: Command, trained: TrainedModel, tmp_path: Path, folder: Path, plain: bytes
) -> None:
    arguments = ["--input", folder, "--output", f"{tmp_path}/out/", "--model", trained.tag]
    answer = command(predict.main, *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert [line.partition(":")[0] for line in answer.out.splitlines()[::3]] == [
        str(folder / "a.csv"), str(folder / "b.csv.gz"), str(folder / "c.parquet"), "model",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "a.csv", "a.rejects.csv", "b.csv.gz", "b.rejects.csv", "c.parquet", "c.rejects.csv"
    ]  # fmt: skip
    assert [unpacked(out / "a.csv"), unpacked(out / "b.csv.gz")] == [plain, plain]
    probabilities = [line.rpartition(b",")[2].decode() for line in plain.splitlines()[1:]]
    assert list(map(repr, pq.read_table(out / "c.parquet")["proba_is_ultra"].to_pylist())) == probabilities


@pytest.mark.parametrize("rejects", [[], ["--rejects", "{tmp}/r.csv"], ["--rejects", "{tmp}/"]])
def test_one_file_goes_into_a_folder_too(
    command: Command, trained: TrainedModel, tmp_path: Path, plain: bytes, rejects: list[str]
) -> None:
    """So a glob that finds one file today and two tomorrow does the same with it."""
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in rejects]
    answer = command(predict.main, "--input", DATA, "--output", f"{tmp_path}/out/", "--model", trained.tag, *given)
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "out" / DATA.name).read_bytes() == plain
    place = {0: f"out/{DATA.stem}.rejects.csv", 1: "r.csv", 2: f"{DATA.stem}.rejects.csv"}
    assert (tmp_path / place[0 if not given else 1 if given[1].endswith(".csv") else 2]).is_file()


def test_what_an_interrupted_run_leaves_is_told_and_goes_with_a_complete_one(
    command: Command, trained: TrainedModel, tmp_path: Path, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "done" / "out.csv"
    arguments = ["--input", DATA, "--output", out, "--model", trained.tag]

    def interrupted(outputs: object, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("plan_recommender.scoring.outputs._Resumed.advance", interrupted)
        answer = command(predict.main, *arguments, "--resume")
    hidden = [".out.csv.journal", ".out.csv.part", ".out.rejects.csv.part"]
    assert answer.code == 2
    assert answer.err == (
        f"warning: {out}: {', '.join(hidden)} beside it hold what is done; go on with --resume, or delete them\n"
        "interrupted\n"
    )
    assert sorted(path.name for path in out.parent.iterdir()) == hidden
    assert command(predict.main, *arguments).code == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv", "out.rejects.csv"]
    assert out.read_bytes() == plain


def test_no_file_of_several_is_scored_if_one_cannot_be(
    command: Command, trained: TrainedModel, tmp_path: Path, folder: Path
) -> None:
    (folder / "d.csv").write_text("calls,minutes\n1,2\n")
    answer = command(predict.main, "--input", folder, "--output", f"{tmp_path}/out/", "--model", trained.tag)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {folder / 'd.csv'}: expected the columns calls, minutes, messages, mb_used;")
    assert not (tmp_path / "out").exists()


def test_a_warning_names_the_file_of_several(
    command: Command, trained: TrainedModel, tmp_path: Path, folder: Path
) -> None:
    bad = folder / "d.csv"
    bad.write_text("calls,minutes,messages,mb_used\n1,x,3,4\n")
    answer = command(
        predict.main, "--input", folder / "a.csv", bad, "--output", f"{tmp_path}/out/", "--model", trained.tag
    )
    assert answer.code == 1
    assert answer.err.startswith(f"warning: {bad}: 1 of 1 rows were rejected, which is all of them; the first: row 1, ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--input", "{in}", "--output", "{tmp}/out.csv"], "to score the files in it, name a folder as --output too"),
        (["--input", "{in}/a.csv", "{in}/b.csv.gz", "--output", "{tmp}/o.csv"], "expected a folder for several files"),
        (["--input", "{in}", "--output", "{in}/"], "expected a file of its own for each input and output"),
        (["--input", "{in}/a.csv", "-", "--output", "{tmp}/out/"], "expected standard input alone"),
        (["--input", "{in}/a.csv", "--output", "-"], "expected --rejects FILE with standard output"),
        (
            ["--input", "{in}", "--output", "{tmp}/out/", "--rejects", "{tmp}/r.csv"],
            "expected a folder for the rejects",
        ),
        (["--input", "{tmp}/empty", "--output", "{tmp}/out/"], "expected a folder with tables, found no file in it"),
        (
            ["--input", "{in}/a.csv", "/dev/null", "--output", "{tmp}/out/"],
            "/dev/null: expected a file, because several",
        ),
        (["--input", "-", "--output", "{tmp}/o.csv", "--resume"], "found standard input or output, with which no run"),
        (
            ["--input", "{in}/a.csv", "{in}/../in/b.csv.gz", "{tmp}/empty/../in/a.csv", "--output", "{tmp}/out/"],
            "expected another name than ",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    command: Command, trained: TrainedModel, tmp_path: Path, folder: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [argument.replace("{in}", str(folder)).replace("{tmp}", str(tmp_path)) for argument in arguments]
    answer = command(predict.main, *given, "--model", trained.tag)
    assert answer.code == 2
    assert sentence in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in"]


def test_any_number_of_jobs_writes_the_same_bytes(
    command: Command, trained: TrainedModel, tmp_path: Path, plain: bytes
) -> None:
    for jobs in ("1", "2", "3"):
        out = tmp_path / "out.csv"
        arguments = ["--input", DATA, "--output", out, "--model", trained.tag, "--jobs", jobs]
        assert command(predict.main, *arguments).code == 0
        assert out.read_bytes() == plain


def test_a_folder_is_continued_where_it_was(
    command: Command, trained: TrainedModel, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that were complete are not scored again; the one that failed is."""
    out = tmp_path / "out"
    arguments = ["--input", folder, "--output", f"{out}/", "--model", trained.tag, "--resume"]
    scored: list[str] = []

    def failing(task: Task, scoring: Scoring) -> Counts:
        scored.append(task.source.name)
        if scored == ["a.csv", "b.csv.gz"]:
            raise KeyboardInterrupt
        return score_file(task, scoring)

    monkeypatch.setattr(predict, "score_file", failing)
    stopped = command(predict.main, *arguments)
    assert (stopped.code, stopped.err) == (2, "interrupted\n")
    first = (out / "a.csv").stat()
    answer = command(predict.main, *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert (out / "a.csv").stat() == first
    assert answer.out.count("3,214 rows") == 3
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_pipe_is_scored_into_a_pipe(trained: TrainedModel, tmp_path: Path, plain: bytes) -> None:
    command = [sys.executable, "predict.py", "--input", "-", "--output", "-", "--model", trained.tag]
    command += ["--rejects", str(tmp_path / "rejects.csv")]
    result = subprocess.run(command, input=CONTENT, cwd=ROOT, env=os.environ, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (0, plain)
    assert result.stderr.decode().startswith("-: 3,214 rows\n-: 3,214 scored, ")


@pytest.mark.slow
def test_a_terminal_is_told_the_rate_and_the_time_left(trained: TrainedModel, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    header, *lines = CONTENT.decode().splitlines(keepends=True)
    source.write_text(header + "".join(lines) * 150)
    ours, theirs = pty.openpty()
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    termios.tcsetwinsize(theirs, (24, 120))
    arguments = ["--input", str(source), "--output", str(tmp_path / "out.csv"), "--model", trained.tag]
    command = [sys.executable, "predict.py", *arguments]
    try:
        subprocess.run(command, cwd=ROOT, stderr=theirs, stdout=subprocess.DEVNULL, check=True)
        told = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search(r"[1-9][0-9]*% \|.*\| [1-9][0-9,]* rows, [1-9][0-9,]* rows/s, [0-9:]+ left", told)


@pytest.mark.slow
def test_a_run_that_is_terminated_leaves_nothing(trained: TrainedModel, tmp_path: Path) -> None:
    """The input is a pipe that stays open, so that the run is in the middle of it for certain."""
    arguments = ["--input", "-", "--output", str(tmp_path / "out.csv"), "--model", trained.tag]
    with subprocess.Popen(
        [sys.executable, "predict.py", *arguments], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdin is not None
        run.stdin.write(CONTENT * 6)  # more than is read for the header
        run.stdin.flush()
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [path.name[:5] for path in tmp_path.iterdir()] == [".out."] * 2
        run.send_signal(signal.SIGTERM)
        run.stdin.close()
        assert run.wait(30) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_start_imports_nothing_that_scoring_text_does_not_need() -> None:
    program = (
        "import sys, predict, plan_recommender.scoring.files\n"
        "heavy = {'bentoml', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'tqdm', 'pyarrow.parquet'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
