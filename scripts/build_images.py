"""Builds the container images with docker, podman or buildah, whichever is installed.

`python scripts/build_images.py [NAME ...]` builds the named images, by default those of all parts, and prints the size
of each; `make images PARTS=frequency` does the same. Only built if named: `batch` and `batch-spark`, the nightly batch
without and with Spark, and `sagemaker`, the ranking model for SageMaker. The environment variable `BASE_IMAGE`
overrides the base image, and `EXTRAS` the extras to install, such as `vector,qdrant`.
"""

import argparse
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pantree_cli.mesh import ALL_PARTS

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
"""Builds the image of any part: the build argument `PART` names it."""
SAGEMAKER_DOCKERFILE = ROOT / "services" / "recommendation" / "Dockerfile.sagemaker"
SPARK_DOCKERFILE = ROOT / "batch" / "Dockerfile.spark"
PART_NAMES = [part.name for part in ALL_PARTS]
OWN_DOCKERFILES = {"batch-spark": SPARK_DOCKERFILE, "sagemaker": SAGEMAKER_DOCKERFILE}
IMAGE_NAMES = [*PART_NAMES, "batch", *OWN_DOCKERFILES]
MEBIBYTE = 1024 * 1024


def version() -> str:
    """Version of the project, used as the tag of its images."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


@dataclass(frozen=True)
class Engine:
    """A program that builds images: docker, podman or buildah."""

    name: str

    @classmethod
    def find(cls) -> "Engine":
        """The first engine that works on this machine.

        Raises:
            SystemExit: when no engine works.
        """
        for name in ("docker", "podman", "buildah"):
            # The docker client may be installed without a daemon.
            works = shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0  # noqa: S603
            if works:
                return cls(name)
        raise SystemExit("error: found no engine that can build images; install and start docker, podman or buildah")

    def build(self, name: str, base_image: str | None, extras: str | None = None) -> str:
        """Builds an image and returns its name and tag.

        Args:
            name: one of `IMAGE_NAMES`.
            base_image: overrides the base image of the Dockerfile.
            extras: overrides the extras of the Dockerfile; separated by commas.

        Raises:
            subprocess.CalledProcessError: when the build fails; the engine has printed why.
        """
        image = f"pantree/{name}:{version()}"
        file = OWN_DOCKERFILES.get(name, DOCKERFILE)
        part = None if name in OWN_DOCKERFILES else name
        values = {"PART": part, "BASE_IMAGE": base_image, "EXTRAS": extras}
        build_arguments = [word for key, value in values.items() if value for word in ("--build-arg", f"{key}={value}")]
        command = [self.name, "build", "--file", str(file), "--tag", image, *build_arguments, str(ROOT)]
        subprocess.run(command, check=True)  # noqa: S603 # consists of our own file names
        return image

    def bytes_of(self, image: str) -> int:
        """Size of an image, including its base image."""
        if self.name == "buildah":
            listed = json.loads(self._output("images", "--json", image))
            number, unit = listed[0]["size"].split()  # such as `253 MB`
            return int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])
        return int(self._output("image", "inspect", "--format", "{{.Size}}", image))

    def _output(self, *arguments: str) -> str:
        command = [self.name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 # our own words


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds the images named on the command line and prints a table of their sizes."""
    parser = argparse.ArgumentParser(description="Builds the container images of the parts.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(IMAGE_NAMES)}; default: all parts")
    named = parser.parse_args(arguments).names
    if unknown := set(named) - set(IMAGE_NAMES):
        parser.error(f"unknown image {', '.join(sorted(unknown))}; use one of {', '.join(IMAGE_NAMES)}")
    base_image, extras = os.environ.get("BASE_IMAGE"), os.environ.get("EXTRAS")
    if extras and len(named) != 1:
        parser.error("EXTRAS applies to one image; name exactly one")
    engine = Engine.find()
    built = [engine.build(name, base_image, extras) for name in named or PART_NAMES]
    print(f"\n{'image':<32}size, MiB")
    for image in built:
        print(f"{image:<32}{engine.bytes_of(image) / MEBIBYTE:>9.0f}")


if __name__ == "__main__":
    main()
