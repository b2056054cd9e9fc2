"""Runs an image as Kubernetes does: as its own user, without capabilities, on a read-only root filesystem."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.build_images import Engine

# buildah cannot run a read-only container, so this script does it in a mount namespace.
_READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount --bind /proc "$1/proc"
mount --bind /dev "$1/dev"
root=$1 user=$2; shift 2
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i "$@"
"""


@dataclass(frozen=True)
class Container:
    """A runnable image, made by `container`."""

    engine: Engine
    image: str
    root: str
    """Directory where buildah mounted its filesystem; empty for other engines."""

    def configuration(self) -> Mapping[str, Any]:
        """Configuration of the image: User, Entrypoint, Env and so on."""
        if self.root:
            inspected = _output("buildah", "inspect", "--type", "image", self.image)
            return json.loads(inspected)["OCIv1"]["config"]  # type: ignore[no-any-return]
        inspected = _output(self.engine.name, "image", "inspect", "--format", "{{json .Config}}", self.image)
        return json.loads(inspected)  # type: ignore[no-any-return]

    def start(self, variables: Mapping[str, str], command: Sequence[str] | None = None) -> subprocess.Popen[str]:
        """Starts the image in the network of this machine.

        Args:
            variables: environment variables in addition to those of the image.
            command: overrides the entry point of the image.
        """
        configuration = self.configuration()
        words = list(command or configuration["Entrypoint"])
        if self.root:
            assignments = [*configuration["Env"], *(f"{name}={value}" for name, value in variables.items())]
            namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _READ_ONLY, "read-only"]
            line = [*namespace, self.root, configuration["User"], *assignments, *words]
        else:
            given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
            rights = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
            if self.engine.name == "podman":
                rights.append("--read-only-tmpfs=false")
            run = [self.engine.name, "run", "--rm", "--network", "host", *rights, *given, "--entrypoint", words[0]]
            line = [*run, self.image, *words[1:]]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextlib.contextmanager
def container(engine: Engine, image: str) -> Iterator[Container]:
    """A container of an image. It is removed when the context ends."""
    if engine.name != "buildah":
        yield Container(engine, image, "")
        return
    assert shutil.which("unshare")
    name = _output("buildah", "from", "--pull-never", image)
    try:
        yield Container(engine, image, _output("buildah", "mount", name))
    finally:
        _output("buildah", "umount", name)
        _output("buildah", "rm", name)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
