"""What `bentoml containerize` makes the image from, beside what bentofile.yaml says.

The base is the official slim Python image. BentoML installs a compiler and git on the systems that it knows, which
wheels have no use for, so it is told of one that it does not know. It installs uv too, of any version, unless there is
one.
"""

from typing import Final

from bentoml.images import Image

PYTHON: Final = "3.11"
BASE: Final = f"python:{PYTHON}-slim"
UV: Final = "0.13.9"

_UV_HASHES: Final = {
    "x86_64": "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    "aarch64": "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
}


def image() -> Image:
    """Describe the image; BentoML adds the requirements and the script that bentofile.yaml names."""
    uv = " ".join([f"uv=={UV}", *(f"--hash=sha256:{value}" for value in _UV_HASHES.values())])
    install = "pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all:"
    return Image(
        base_image=BASE,
        distro="none",
        python_version=PYTHON,
        commands=[f"echo '{uv}' > /tmp/uv.txt && {install} --requirement /tmp/uv.txt && rm /tmp/uv.txt"],
        lock_python_packages=False,
    )
