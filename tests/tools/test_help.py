"""`--help` of every command explains it and starts nothing."""

import importlib
from collections.abc import Callable

import pytest

COMMANDS = [
    "train", "retrain", "evaluate", "predict", "advise", "drift", "benchmark.access_log", "benchmark.serving",
    "benchmark.advice", "benchmark.files", "benchmark.shadow", "benchmark.warehouse",
    "loadtest.trials.__main__", "plan_recommender.model.sql.__main__", "plan_recommender.scoring.spark.__main__",
    "tests.serving.differential", "tests.serving.fuzz_connection",
    *(
        f"tools.{name}"
        for name in (
            "advice_policies", "calibrate", "calibrate_months", "campaign_rates", "canary", "cards", "check_bills",
            "containerize", "demo", "fidelity", "gate_lottery", "gate_rates", "loadtest", "mistake_rates",
            "mlflow_demo", "months_fidelity", "notebooks", "openapi_cases", "page_words", "parity", "promote",
            "readme_es", "retraining_rates", "roll", "rollback", "sign", "start_demo", "supply", "synthesise",
        )
    ),
]  # fmt: skip


def main_of(command: str) -> Callable[[list[str]], object]:
    main: Callable[[list[str]], object] = importlib.import_module(command).main
    return main


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_a_command_and_starts_nothing(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: object, **options: object) -> None:
        raise AssertionError(f"started {arguments}")

    main = main_of(command)
    monkeypatch.setattr("subprocess.Popen", start)
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: ")
    assert len(text.splitlines()) > 4


@pytest.mark.parametrize("command", ["tools.demo", "tools.mlflow_demo"])
def test_a_demo_takes_no_arguments(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main_of(command)(["now"])
    assert caught.value.code == 2
    assert "unrecognized arguments: now" in capsys.readouterr().err


def test_the_options_of_bentoml_containerize_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from plan_recommender.serving.image import BASE
    from tools import container, containerize, start_demo
    from tools.base_image import NAME_LABEL, BaseImage

    given: list[list[str]] = []
    passed_on = ["--opt", "network=host", "--progress", "plain"]

    def refuse(bento: str, options: list[str]) -> str:
        given.append(options)
        raise container.ContainerError("no engine")

    monkeypatch.setattr(containerize, "look_up", lambda base: BaseImage(base, None))
    for module in (containerize, start_demo):
        monkeypatch.setattr(module, "build", lambda base="": "plan_recommender:tag")
        monkeypatch.setattr(module, "containerize", refuse)
        assert module.main(passed_on) == 2
    base = ["--opt", f"label={NAME_LABEL}={BASE}"]
    assert given == [[*base, *passed_on], passed_on]
    with pytest.raises(SystemExit):
        start_demo.main(["--stop", "--opt", "network=host"])
