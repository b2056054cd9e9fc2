"""Entry point of the image for Spark on Kubernetes.

Spark starts each of its pods with the argument `driver` or `executor` and describes the rest in environment variables,
as `resource-managers/kubernetes` of its sources says (`BasicExecutorFeatureStep`, `BasicDriverFeatureStep` and the
`entrypoint.sh` of Spark's own image). Anything else is a command of this image, such as `pantree batch status`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_OPTION = "SPARK_JAVA_OPT_"
_EXECUTOR = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_EXECUTOR_ARGUMENTS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


def command_of(arguments: Sequence[str], variables: Mapping[str, str], spark_home: Path) -> list[str]:
    """The command that a container runs.

    Args:
        arguments: of the container.
        variables: its environment.
        spark_home: directory with the `bin` and `jars` of Spark.

    Raises:
        KeyError: if Spark has not set a variable that it documents.
    """
    kind, *rest = arguments or ["--help"]
    if kind == "driver":
        address = f"spark.driver.bindAddress={variables['SPARK_DRIVER_BIND_ADDRESS']}"
        return [str(spark_home / "bin" / "spark-submit"), "--conf", address, "--deploy-mode", "client", *rest]
    if kind == "executor":
        memory = variables["SPARK_EXECUTOR_MEMORY"]
        numbered = [name for name in variables if name.startswith(_OPTION)]
        options = [variables[name] for name in sorted(numbered, key=lambda name: int(name.removeprefix(_OPTION)))]
        paths = (variables.get("SPARK_CONF_DIR"), variables.get("SPARK_CLASSPATH"), str(spark_home / "jars" / "*"))
        words = [word for flag, name in _EXECUTOR_ARGUMENTS.items() for word in (flag, variables[name])]
        java = str(Path(variables["JAVA_HOME"], "bin", "java"))
        return [
            java,
            *options,
            f"-Xms{memory}",
            f"-Xmx{memory}",
            "-cp",
            ":".join(filter(None, paths)),
            _EXECUTOR,
            *words,
        ]
    if kind.startswith("-"):
        return ["pantree", "batch", kind, *rest]
    return [kind, *rest]


def main() -> None:
    """Replaces this process by the command."""
    import pyspark

    spark_home = Path(pyspark.__file__).parent
    os.environ.setdefault("SPARK_HOME", str(spark_home))
    command = command_of(sys.argv[1:], os.environ, spark_home)
    os.execvp(command[0], command)  # noqa: S606 # as entry points do


if __name__ == "__main__":
    main()
