"""Builds the container images with the engine that is there: docker, podman or buildah.

`python scripts/build_images.py [NAME ...]` builds all parts, or the images named, and prints the size of each;
`make images PARTS=frequency` does the same. `sagemaker`, our ranking model for SageMaker, is built when it is named.
`BASE_IMAGE` in the environment names another base than the Dockerfiles', `EXTRAS` what is installed in the place of the
part's own extra, such as `vector,qdrant`.
"""

import argparse
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 1024 * 1024


def dockerfiles() -> Mapping[str, Path]:
    """Dockerfile of each part, by the part's name."""
    services = {path.parent.name: path for path in sorted(ROOT.glob("services/*/Dockerfile"))}
    return {"gateway": ROOT / "gateway" / "Dockerfile", **services}


def images() -> Mapping[str, Path]:
    """Dockerfile of each image, by name: those of the parts, and our ranking model for SageMaker."""
    return {**dockerfiles(), "sagemaker": ROOT / "services" / "recommendation" / "Dockerfile.sagemaker"}


def version() -> str:
    """Version of the project, which is the tag of its images."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


@dataclass(frozen=True)
class Engine:
    """A program that builds images."""

    name: str
    """docker, podman or buildah."""

    @classmethod
    def find(cls) -> "Engine":
        """The first engine that works here.

        Raises:
            SystemExit: when there is none.
        """
        for name in ("docker", "podman", "buildah"):
            # docker may be there as a client alone.
            works = shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0  # noqa: S603
            if works:
                return cls(name)
        raise SystemExit("error: no engine builds images here; install docker, podman or buildah, and start it")

    def build(self, name: str, base_image: str | None, extras: str | None = None) -> str:
        """Builds an image and returns its name and tag.

        Args:
            name: of a part, or `sagemaker`.
            base_image: another base than the Dockerfile's.
            extras: other extras than the Dockerfile's, separated by commas.

        Raises:
            subprocess.CalledProcessError: when it cannot be built; what the engine said was printed.
        """
        image = f"pantree/{name}:{version()}"
        given = {"BASE_IMAGE": base_image, "EXTRAS": extras}
        build_arguments = [word for key, value in given.items() if value for word in ("--build-arg", f"{key}={value}")]
        command = [self.name, "build", "--file", str(images()[name]), "--tag", image, *build_arguments, str(ROOT)]
        subprocess.run(command, check=True)  # noqa: S603 # made of our own file names
        return image

    def bytes_of(self, image: str) -> int:
        """Size of an image, that of its base included."""
        if self.name == "buildah":
            listed = json.loads(self._output("images", "--json", image))
            return int(sum(_bytes_of_text(entry["size"]) for entry in listed[:1]))
        return int(self._output("image", "inspect", "--format", "{{.Size}}", image))

    def _output(self, *arguments: str) -> str:
        command = [self.name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 # our own words


def _bytes_of_text(size: str) -> float:
    """Bytes of a size as buildah prints it, such as `253 MB`."""
    number, unit = size.split()
    return float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds the images that the command line names, and prints a table of their sizes."""
    parser = argparse.ArgumentParser(description="Builds the container images of the parts.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(images())}; all parts if none is named"
    )
    named = parser.parse_args(arguments).names
    if unknown := set(named) - set(images()):
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(images())}")
    base_image, extras = os.environ.get("BASE_IMAGE"), os.environ.get("EXTRAS")
    if extras and len(named) != 1:
        parser.error("EXTRAS are those of one part; name it")
    engine = Engine.find()
    built = [engine.build(name, base_image, extras) for name in named or dockerfiles()]
    print(f"\n{'image':<32}size, MiB")
    for image in built:
        print(f"{image:<32}{engine.bytes_of(image) / MEBIBYTE:>9.0f}")


if __name__ == "__main__":
    main()
