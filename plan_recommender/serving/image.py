"""What `bentoml containerize` makes the image from, beside what bentofile.yaml says.

The base is the official slim Python image. BentoML installs a compiler and git on the systems that it knows, which
wheels have no use for, so it is told of one that it does not know. It installs uv too, of any version, unless there is
one. BentoML copies the whole model into the folder that an engine builds the image from, so the Bento tells the engine
which of its files no service reads.
"""

import os
from pathlib import Path
from typing import Any, Final

from bentoml.images import Image

from plan_recommender.model.record import NOT_SERVED

PYTHON: Final = "3.11"
BASE: Final = f"python:{PYTHON}-slim"
BASE_VARIABLE: Final = "BASE_IMAGE"
"""The environment variable of `bentoml build` that names another base with this Python, such as the same by digest."""

UV: Final = "0.13.9"
IGNORE_FILE: Final = ".dockerignore"

_UV_HASHES: Final = {
    "x86_64": "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    "aarch64": "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
}


class ServingImage(Image):
    """The image without the files of the model that no service reads."""

    def freeze(self, bento_fs: Path, *arguments: Any, **options: Any) -> Any:
        """Write what the image is built from into a Bento, with the list of what an engine must not be sent."""
        ignored = [IGNORE_FILE, *(f"models/*/*/{name}" for name in NOT_SERVED)]
        (bento_fs / IGNORE_FILE).write_text("".join(f"{line}\n" for line in ignored))
        return super().freeze(bento_fs, *arguments, **options)


def image() -> ServingImage:
    """Describe the image; BentoML adds the requirements and the script that bentofile.yaml names."""
    uv = " ".join([f"uv=={UV}", *(f"--hash=sha256:{value}" for value in _UV_HASHES.values())])
    install = "pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all:"
    # Where `docker build` is used without BuildKit's mounts, uv would leave its cache, a second copy of every package.
    no_cache = "mkdir -p /etc/uv && echo 'no-cache = true' > /etc/uv/uv.toml"
    return ServingImage(
        base_image=os.environ.get(BASE_VARIABLE) or BASE,
        distro="none",
        python_version=PYTHON,
        commands=[
            f"echo '{uv}' > /tmp/uv.txt && {install} --requirement /tmp/uv.txt && rm /tmp/uv.txt",
            no_cache,
        ],
        lock_python_packages=False,
    )
