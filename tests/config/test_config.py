"""The configuration: what it refuses, what it resolves, and that every setting is documented and used."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from plan_recommender.config import reference_page, settings
from plan_recommender.config.load import load_settings
from plan_recommender.config.reference_page import reference, walk
from plan_recommender.config.settings import Settings
from plan_recommender.errors import ConfigError
from tools.server import ROOT

ENDING = "; docs/configuration.md describes every setting"
IMPOSSIBLE = [
    ("seed: fortytwo", "seed", "valid integer", "fortytwo"),
    ("seed: '42'", "seed", "valid integer", "'42'"),
    ("seed: 42.5", "seed", "valid integer", "42.5"),
    ("seed: -1", "seed", "greater than or equal to 0", "-1"),
    ("seed: 4294967296", "seed", "less than 4294967296", "4294967296"),
    ("threshold: 1.5", "threshold.number", "less than or equal to 1", "1.5"),
    ("threshold: .nan", "threshold.number", "finite number", "nan"),
    ("threshold: true", "threshold.number", "valid number", "True"),
    ("threshold: null", "threshold.number", "valid number", "None"),
    ("proof: {tolerance: 1e-5}", "proof.tolerance", "valid number", "'1e-5'"),
    ("split: {test_share: 0}", "split.test_share", "greater than 0", "0"),
    ("split: {test_share: 1.0}", "split.test_share", "less than 1", "1.0"),
    ("data: {max_missing_share: -0.1}", "data.max_missing_share", "greater than or equal to 0", "-0.1"),
    ("data: {path: 7}", "data.path", "path", "7"),
    ("data: users.csv", "data", "dictionary", "users.csv"),
    ("features: [minutes, calls, messages, mb_used]", "features", "the request schema in its order", "minutes"),
    ("features: [calls, minutes, messages]", "features", "the request schema in its order", "messages"),
    ("target: plan", "target", "'is_ultra'", "'plan'"),
    ("threshold: best", "threshold.objective", "'expected_profit'", "'best'"),
    (
        "threshold: {light: 0.4, medium: 2, heavy: 0.6}\nthreshold_segments: calls",
        "threshold.segments.medium",
        "less than or equal to 1",
        "2",
    ),
    ("threshold: {light: 0.4, medium: 0.5, heavy: 0.6}", "threshold", "threshold_segments to name a feature", "0.4"),
    ("threshold: 0.4\nthreshold_segments: calls", "threshold_segments", "expected none", "0.4"),
    ("selection: {candidates: [forest]}", "selection.candidates.0", "'boosted_trees'", "'forest'"),
    (
        "selection: {candidates: [boosted_trees]}",
        "selection.candidates",
        "expected majority_rule, logistic",
        "['boosted_trees']",
    ),
    (
        "selection: {candidates: [majority_rule, logistic_regression]}",
        "selection.candidates",
        "at least one more",
        "logistic",
    ),
    (
        "estimators: {boosted_trees: {search: {trees: [300, 40]}}}",
        "estimators.boosted_trees.search.trees",
        "lower end first",
        "[300, 40]",
    ),
    (
        "estimators: {binned_logistic: {search: {bins: [4, 51]}}}",
        "estimators.binned_logistic.search.bins.1",
        "less than or equal to 50",
        "51",
    ),
    (
        "estimators: {logistic_regression: {solver: newton}}",
        "estimators.logistic_regression.solver",
        "'liblinear'",
        "'newton'",
    ),
    ("mlflow: {tracking_uri: 'http://me:secret@host'}", "mlflow.tracking_uri", "MLFLOW_TRACKING_PASSWORD", "secret"),
    ("drift: {min_rows: 0}", "drift.min_rows", "greater than 0", "0"),
    ("drift: {smoothing: 0}", "drift.smoothing", "greater than 0", "0"),
    ("loadtest: {steady: {users: 0}}", "loadtest.steady.users", "greater than 0", "0"),
    ("loadtest: {step: {steps: 2}}", "loadtest.step", "min_steps to be at most steps, 2", "'steps': 2"),
    ("[seed, 1]", "the document", "dictionary", "['seed', 1]"),
    ("just words", "the document", "dictionary", "just words"),
]
"""Text, then what its refusal names: the setting, what was expected, what was found."""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_shipped_file_states_every_default() -> None:
    document = yaml.safe_load((ROOT / "model_config.yaml").read_text(encoding="utf-8"))
    assert document == json.loads(Settings().model_dump_json())


def test_an_empty_file_is_the_defaults(write: Write) -> None:
    path = write("# nothing\n")
    settings = load_settings(path)
    defaults = Settings()
    placed = {name: getattr(defaults, name) for name in ("data", "artifacts", "search", "mlflow")}
    assert settings.model_copy(update=placed) == defaults


def test_relative_paths_start_at_the_configuration_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("data: {path: in/table.csv}\nartifacts: {directory: ../out}\nmlflow: {tracking_uri: sqlite:///m.db}\n")
    monkeypatch.chdir("/")
    settings = load_settings(path)
    assert settings.data.path == path.parent / "in/table.csv"
    assert settings.artifacts.directory == path.parent / "../out"
    assert settings.search.directory == path.parent / "search"
    assert settings.mlflow.tracking_uri == f"sqlite:///{path.parent / 'm.db'}"


def test_absolute_paths_stay(write: Write) -> None:
    settings = load_settings(write("data: {path: /x/table.csv}\nartifacts: {directory: /y}\n"))
    assert (settings.data.path, settings.artifacts.directory) == (Path("/x/table.csv"), Path("/y"))


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "sqlite:////x/mlflow.db", "databricks"])
def test_an_address_that_is_no_relative_path_stays(write: Write, uri: str) -> None:
    assert load_settings(write(f"mlflow: {{tracking_uri: '{uri}'}}\n")).mlflow.tracking_uri == uri


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sed: 1", "sed"),
        ("data: {pth: x.csv}", "data.pth"),
        ("estimators: {logistic_regression: {penalty: l2}}", "estimators.logistic_regression.penalty"),
        ("estimators: {forest: {}}", "estimators.forest"),
    ],
)
def test_unknown_settings_are_refused_by_name(write: Write, text: str, name: str) -> None:
    assert refusal(write(text)).startswith(f"{name}: Extra inputs are not permitted")


@pytest.mark.parametrize(("text", "name", "expected", "found"), IMPOSSIBLE)
def test_impossible_settings_are_refused_in_one_sentence(
    write: Write, text: str, name: str, expected: str, found: str
) -> None:
    message = refusal(write(text))
    assert message.startswith(f"{name}: ")
    assert message.endswith(ENDING)
    assert expected in message


@pytest.mark.parametrize(("text", "name", "expected", "found"), IMPOSSIBLE)
def test_the_refusal_says_what_was_found(write: Write, text: str, name: str, expected: str, found: str) -> None:
    assert found in refusal(write(text)).removeprefix(name).replace(expected, "")


def test_every_problem_is_named_at_once(write: Write) -> None:
    message = refusal(write("seed: -1\nthreshold: 2\nnonsense: 1\n"))
    assert [name for name in ("seed: ", "threshold.number: ", "nonsense: ") if name not in message] == []


@pytest.mark.parametrize(
    "text", ["seed: [1", "a: b: c", "\tseed: 1", "seed: !!python/object:os.system x", "seed: 2024-13-01", "[" * 5000]
)
def test_text_that_is_not_yaml_is_refused(write: Write, text: str) -> None:
    assert refusal(write(text)).startswith("expected YAML, found: ")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"seed: 1 # caf\xe9\n")
    assert refusal(path).startswith("expected YAML, found: 'utf-8' codec can't decode byte 0xe9")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "no.yaml")
        == "expected a configuration file that can be read, found: No such file or directory"
    )
    assert refusal(tmp_path) == "expected a configuration file that can be read, found: Is a directory"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().seed = 7  # type: ignore[misc]  # what mypy refuses here, the running program refuses too


def test_the_reference_is_the_documentation() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize("setting", list(walk(Settings)), ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_a_sentence(setting: reference_page.Setting) -> None:
    assert setting.sentence.endswith(".")
    assert len(setting.sentence.split()) >= 3
    assert f"| `{setting.name}` |" in reference()


def test_every_setting_is_read_by_something() -> None:
    assert unread(Settings, sources()) == set()


def test_a_setting_that_nothing_reads_is_found() -> None:
    class DriftSettings(settings.DriftSettings):
        seconds: int = 1  # loadtest.soak.seconds is read, which must not count for drift.seconds

    class WithUnused(Settings):
        drift: DriftSettings = DriftSettings()
        nobody: int = 1

    assert unread(WithUnused, sources()) == {"drift.seconds", "nobody"}


def sources() -> list[Path]:
    files = [*ROOT.glob("*.py"), *(ROOT / "plan_recommender").rglob("*.py")]
    files += [ROOT / "loadtest" / "locustfile.py", ROOT / "loadtest" / "shapes.py"]
    return [path for path in files if path.parent.name != "config" and path.is_file()]


def unread(root: type[BaseModel], files: list[Path]) -> set[str]:
    """Settings `section.name` that no code reads as an attribute of that section."""
    sections = {"": root, **dict(walk_sections(root))}
    read: set[tuple[str, str]] = set()
    for path in files:
        read |= reads(ast.parse(path.read_text(encoding="utf-8")), sections)
    return {setting.name for setting in walk(root) if tuple(setting.name.rpartition(".")[::2]) not in read}


def walk_sections(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{prefix}{name}", field.annotation
            yield from walk_sections(field.annotation, f"{prefix}{name}.")


def reads(tree: ast.Module, sections: dict[str, type[BaseModel]]) -> set[tuple[str, str]]:
    """Pairs (section, name) of the attributes that code reads of what it holds a section in.

    A section is what `load_settings` returns, a parameter annotated with the section's class, an attribute of a
    section, and a name that one of these was assigned to.
    """
    by_class: dict[str, set[str]] = {"Settings": {""}}
    for path, cls in sections.items():
        by_class.setdefault(cls.__name__, set()).add(path)
    found: set[tuple[str, str]] = set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    outside = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    everywhere: dict[str, set[str]] = {}
    for scope in [outside, *functions]:
        held = {name: set(places) for name, places in everywhere.items()}
        found |= _reads_in(scope, sections, by_class, held)
        everywhere = held if scope is outside else everywhere
    return found


def _reads_in(
    scope: ast.AST, sections: dict[str, type[BaseModel]], by_class: dict[str, set[str]], held: dict[str, set[str]]
) -> set[tuple[str, str]]:
    """What one function, or the code outside functions, reads; `held` gets the names that it gives to sections."""

    def sections_of(node: ast.AST) -> set[str]:
        if isinstance(node, ast.Name):
            return held.get(node.id, set())
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            return {""} if called in ("load_settings", "_settings") else set()
        if isinstance(node, ast.Attribute):
            return {f"{parent}.{node.attr}".lstrip(".") for parent in sections_of(node.value)} & sections.keys()
        return set()

    for node in [*ast.walk(scope), *ast.walk(scope)]:  # twice: a body is walked before its parameters
        if isinstance(node, ast.arg) and node.annotation is not None:
            classes = {name.id for name in ast.walk(node.annotation) if isinstance(name, ast.Name)}
            held.setdefault(node.arg, set()).update(*(by_class.get(name, set()) for name in classes))
        if isinstance(node, ast.Assign):
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets[:1]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name):
                    held.setdefault(target.id, set()).update(sections_of(value))
    loads = [node for node in ast.walk(scope) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)]
    return {(section, node.attr) for node in loads for section in sections_of(node.value)}


def test_the_reader_of_code_sees_chains_parameters_and_names() -> None:
    code = """
def by_chain(): return load_settings(path).data.path
def by_parameter(settings: DriftSettings): return settings.min_rows
def by_name():
    budget = config.load_settings().loadtest.soak
    return budget.users
def by_tuple(settings: Settings):
    gate, seed = settings.gate, settings.seed
    return gate.margin
def by_union(parameters: LogisticRegressionSettings | BinnedLogisticSettings): return parameters.C
def not_a_section(other, budget): return other.seed, budget.seconds
"""
    sections: dict[str, Any] = {"": Settings, **dict(walk_sections(Settings))}
    leaves = {(s, name) for s, name in reads(ast.parse(code), sections) if f"{s}.{name}".lstrip(".") not in sections}
    assert leaves == {
        ("data", "path"), ("drift", "min_rows"), ("loadtest.soak", "users"), ("", "seed"), ("gate", "margin"),
        ("estimators.logistic_regression", "C"), ("estimators.binned_logistic", "C"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "kind", "read"),
    [("010", "an octal number", "8"), ("0_10", "an octal number", "8"), ("+010", "an octal number", "8"),
     ("1:30", "a number in base 60", "90"),
     ("1:30.5", "a number in base 60", "90.5")],
)  # fmt: skip
def test_a_number_that_yaml_takes_for_another_one_is_refused(
    tmp_path: Path, written: str, kind: str, read: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"drift:\n  min_rows: {written}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    said = f"{path}: expected YAML, found: {written} in line 2, which YAML takes for {kind}, {read}: write "
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("written", "rows"), [("10", 10), ("+10", 10), ("1_0", 10), ("0xA", 10), ("0b1010", 10)])
def test_other_whole_numbers_are_read_as_they_are_written(tmp_path: Path, written: str, rows: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"drift:\n  min_rows: {written}\n")
    assert load_settings(path).drift.min_rows == rows
    path.write_text("threshold: 0.50\n")
    assert load_settings(path).threshold == 0.5


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("drift:\n  min_rows: 5\n  min_rows: 6\n")
    with pytest.raises(ConfigError, match="found: min_rows more than once in one section"):
        load_settings(path)
    path.write_text("drift:\n  min_rows: 5\n")
    assert load_settings(path).drift.min_rows == 5
