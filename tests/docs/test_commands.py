"""What the pages show is what happens: their commands are run, in order, and print what the pages say they print."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import engine_client
from tests.docs.console import PAGES, PAGES_WITH_COMMANDS, TRANSLATIONS, all_steps, shows, steps
from tools.container import NAME, docker
from tools.server import FROM_SOURCE, ROOT, free_port, serving

SERVE = f"bentoml serve {FROM_SOURCE}"
ITSELF = "make test"  # what runs this
OF_THE_IMAGE = ("make containerize OFFLINE=1", "make start-demo", "make stop-demo")
TRIED_ELSEWHERE = {"CONTRIBUTING.md": "test_contributing.py", "docs/model_format.md": "test_model_format.py"}


def test_every_command_of_the_pages_does_what_they_say(checkout: Path, tmp_path: Path) -> None:
    home = {"BENTOML_HOME": str(tmp_path / "home")}
    environment = os.environ | home | {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    assert [step.command for step in steps("README.md")][:2] == ["make demo", ITSELF]
    url = ""
    with ExitStack() as stack:
        for step in all_steps():
            if step.command == ITSELF or step.command in OF_THE_IMAGE:
                continue
            if step.command == SERVE:  # once, for all pages
                url = url or stack.enter_context(serving(cwd=checkout, env=home)).url
                continue
            command = step.command.replace("http://127.0.0.1:3000", url)
            command = command.replace("examples/client.py", f"examples/client.py {url}")
            ran = subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True)
            expected_code = 1 if "verdict: drift" in step.output else 0
            assert ran.returncode == expected_code, f"{step.page}: {step.command}\n{ran.stdout}{ran.stderr}"
            if step.output:
                message = f"{step.page}: {step.command} printed:\n{ran.stdout}"
                assert shows(step.output.splitlines(), ran.stdout.splitlines()), message


def test_every_command_of_the_pages_about_the_image_does_what_they_say(
    checkout: Path, copy_store: Callable[[Path], Path], tmp_path: Path
) -> None:
    engine_client()
    copy_store(tmp_path / "home")
    port = str(free_port())
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "home"), "PORT": port, "MAKEFLAGS": "", "MAKELEVEL": "0"}
    of_the_image = [step for step in all_steps() if step.command in OF_THE_IMAGE]
    assert [step.command for step in of_the_image] == list(OF_THE_IMAGE)
    with ExitStack() as stack:
        stack.enter_context(_keeping_the_latest_image())
        stack.callback(subprocess.run, OF_THE_IMAGE[-1].split(), cwd=checkout, env=environment, check=False)
        for step in of_the_image:
            ran = subprocess.run(step.command.split(), cwd=checkout, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{step.command}\n{ran.stdout}{ran.stderr}"
            for image in re.findall(rf"^({NAME}:[a-z0-9]{{16}})[:,] ", ran.stdout, re.MULTILINE):
                stack.callback(docker, "image", "rm", "--force", image)
            output = step.output.replace(":3000;", f":{port};")
            assert shows(output.splitlines(), ran.stdout.splitlines()), f"{step.command} printed:\n{ran.stdout}"


@contextmanager
def _keeping_the_latest_image() -> Iterator[None]:
    """Afterwards the name is what it was: the tests share the engine with whoever runs them."""
    latest = f"{NAME}:latest"
    before = docker("images", "--quiet", "--no-trunc", latest).strip()
    yield
    docker("image", "rm", "--force", latest)
    if before:
        docker("tag", before, latest)


def test_no_page_has_commands_that_nobody_runs() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES if "\n```console\n" in page.read_text()}
    assert names == {*PAGES_WITH_COMMANDS, *TRIED_ELSEWHERE, *TRANSLATIONS}
    for name in TRIED_ELSEWHERE.values():
        assert (ROOT / "tests" / "docs" / name).is_file()


def test_a_wrong_output_would_be_noticed() -> None:
    """The control of the tests above."""
    assert shows(["registered plan_recommender:aaaaaaaaaaaaaaaa"], ["registered plan_recommender:bbbbbbbbbbbbbbbb"])
    assert shows(["accuracy 0.6100000001"], ["accuracy 0.61"])
    assert not shows(["accuracy 0.61"], ["accuracy 0.6101"])
    assert not shows(["accuracy 0.61"], ["precision 0.61"])
    assert not shows(["3,214 rows"], ["3,215 rows"])
    assert shows(["a", "...", "b"], ["a", "x", "y", "b"])
    assert not shows(["a", "...", "b"], ["a", "x"])
    assert not shows(["a"], ["a", "b"])
