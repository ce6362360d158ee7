"""Which files are scored into which: one into one, or several, also those of a folder, into a folder."""

from pathlib import Path

from plan_recommender.data.outputs import require_distinct
from plan_recommender.data.table_output import rejects_beside
from plan_recommender.errors import OutputError, TableError
from plan_recommender.scoring.files import Task
from plan_recommender.scoring.outputs import PIPE


def tasks_of(sources: list[str], output: str, rejects: str | None) -> list[Task]:
    """Name the outputs of every file.

    The output is a folder if it is one already, or if its name ends in a slash. Files go into it under their names, and
    the rejects beside them or into another folder. The files of a folder are those directly in it whose names do not
    begin with a dot, in the order of their names.

    Args:
        sources: files, folders, or standard input.
        output: a file, a folder, or standard output.
        rejects: a file or a folder; None: beside the output.

    Raises:
        TableError: a folder has no files, or one of several files is none.
        OutputError: a folder or a file is needed where the other is named, or a file would be written twice.
    """
    folders = [source for source in sources if Path(source).is_dir()]
    if _is_folder(output) and (folders or sources != [str(PIPE)]):
        tasks = _into_folder(files_of(sources), Path(output), rejects)
    elif folders:
        raise TableError(
            f"{folders[0]}: expected a readable CSV file, found: Is a directory; to score the files in it, name a "
            "folder as --output too, one that exists or with a / at its end"
        )
    elif len(sources) > 1:
        raise OutputError(
            f"{output}: expected a folder for several files, one that exists or with a / at its end, found another name"
        )
    else:
        if output == str(PIPE) and rejects is None:
            raise OutputError(f"{output}: expected --rejects FILE with standard output, found no place for the rejects")
        tasks = [Task(Path(sources[0]), Path(output), Path(rejects) if rejects else rejects_beside(Path(output)))]
    require_distinct(*(path for task in tasks for path in task if path != PIPE))
    return tasks


def _is_folder(name: str) -> bool:
    return name.endswith("/") or Path(name).is_dir()


def files_of(sources: list[str]) -> list[Path]:
    """Name the files: those named, and in the place of a folder those directly in it, but for hidden ones, by name.

    Raises:
        TableError: a folder has no files.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if not source.is_dir():
            files.append(source)
            continue
        found = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
        if not found:
            raise TableError(f"{source}: expected a folder with tables, found no file in it")
        files += found
    return files


def _into_folder(sources: list[Path], folder: Path, rejects: str | None) -> list[Task]:
    if PIPE in sources:
        raise OutputError(f"{PIPE}: expected standard input alone, found other files beside it")
    several = len(sources) > 1
    if several and rejects is not None and not _is_folder(rejects):
        raise OutputError(
            f"{rejects}: expected a folder for the rejects of several files, one that exists or with a / at its end"
        )
    tasks: dict[Path, Task] = {}
    for source in sources:
        if several and source.exists() and not source.is_file():  # the look before the first one would empty it
            raise TableError(f"{source}: expected a file, because several are named, found a pipe or a device")
        output = folder / source.name
        path = rejects_beside(output)
        if rejects is not None:
            path = Path(rejects) / path.name if _is_folder(rejects) else Path(rejects)
        if path in tasks:
            raise OutputError(
                f"{source}: expected another name than {tasks[path].source}, because the rejects of both would be "
                f"{path}; score them in two runs, into two folders"
            )
        tasks[path] = Task(source, output, path)
    return list(tasks.values())
