"""The nightly batch: the components that add it, with a pool of processes, with Spark, and with the operators of Spark.

Kubernetes has no schemas for the operators' resources, so their fields are compared with what their sources define:
`api/v1beta2` of kubeflow/spark-operator (`SparkApplicationSpec`, `SparkPodSpec`, `ScheduledSparkApplicationSpec`), and
`ApplicationSpec` and `docs/spark_custom_resources.md` of apache/spark-kubernetes-operator.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from pantree_batch.spark_container import command_of
from pantree_cli.app import app
from scripts.build_images import DOCKERFILE, IMAGE_NAMES, SPARK_DOCKERFILE, version
from tests.deploy.connections import Connection, egress_connections, ingress_connections
from tests.deploy.manifests import ROOT, Manifest, kustomize, named, of_kind

_Readers = dict[tuple[str, ...], Callable[[], Any]]

LOCAL = ("batch",)
SPARK = ("batch", "batch-spark")
KUBEFLOW = (*SPARK, "batch-spark-kubeflow")
APACHE = (*SPARK, "batch-spark-apache")
ALL = [LOCAL, SPARK, KUBEFLOW, APACHE]
CASES = pytest.mark.parametrize("components", ALL, ids=lambda components: components[-1])
ON_SPARK = pytest.mark.parametrize("components", ALL[1:], ids=lambda components: components[-1])
DIRECTORY = "/var/lib/pantree"
SPARK_VERSION = re.findall(r"^pyspark==(\S+)$", (ROOT / "scripts/constraints.txt").read_text(), re.MULTILINE)[0]
NIGHTLY = get_command(app).commands["batch"].commands["nightly"]  # type: ignore[attr-defined] # groups


def render(overlay: str, change: Callable[[str], str]) -> list[Manifest]:
    """An overlay, which need not exist, with a changed kustomization."""
    with tempfile.TemporaryDirectory() as copy:
        tree = Path(shutil.copytree(ROOT / "k8s", Path(copy) / "k8s"))
        file = tree / "overlays" / overlay / "kustomization.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(change(file.read_text() if file.exists() else ""))
        command = [*kustomize(), str(file.parent)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [manifest for manifest in yaml.safe_load_all(output) if manifest is not None]


@functools.cache
def rendered(components: tuple[str, ...], overlay: str = "") -> list[Manifest]:
    """The components alone, or in an overlay to which an operator adds them."""
    added = "components:\n" + "".join(f"  - ../../components/{name}\n" for name in components)
    if overlay:
        return render(
            overlay, lambda text: text.replace("choose-access", "access-open").replace("components:\n", added, 1)
        )
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: nights\n"
    return render("nights", lambda _: head + added)


def job_of(components: tuple[str, ...], name: str = "batch") -> Any:
    return named(rendered(components), "CronJob", name)["spec"]


def container_of(components: tuple[str, ...], name: str = "batch") -> Any:
    (container,) = job_of(components, name)["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container


def generated(components: tuple[str, ...], name: str) -> Any:
    """Content of the file of a generated ConfigMap."""
    (data,) = [
        one["data"] for one in of_kind(rendered(components), "ConfigMap") if one["metadata"]["name"].startswith(name)
    ]
    (text,) = data.values()
    return yaml.safe_load(text)


def application_of(components: tuple[str, ...]) -> Any:
    """What an operator gets: the specification of a SparkApplication."""
    if components == KUBEFLOW:
        return named(rendered(KUBEFLOW), "ScheduledSparkApplication", "batch")["spec"]["template"]
    return generated(APACHE, "batch-application")["spec"]


def words_of(components: tuple[str, ...]) -> list[str]:
    """Arguments of `pantree`, wherever the manifests have them."""
    if components == KUBEFLOW:
        return list(application_of(KUBEFLOW)["arguments"])
    if components == APACHE:
        return list(application_of(APACHE)["driverArgs"])
    words = container_of(components)["args"]
    return list(words[words.index("batch") :])


def settings_of(components: tuple[str, ...]) -> dict[str, str]:
    """Settings of Spark."""
    if components != SPARK:
        return dict(application_of(components)["sparkConf"])
    pairs = [word.removeprefix("--conf=") for word in container_of(SPARK)["args"] if word.startswith("--conf=")]
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
@CASES
def test_manifests_pass_the_schemas_of_kubernetes(components: tuple[str, ...], kubernetes: str) -> None:
    for manifest in rendered(components):
        if manifest["kind"] != "ScheduledSparkApplication":
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_overlay_of_the_guide_uses_one_image() -> None:
    (example,) = re.findall(r"^```yaml\n(.+?)^```", (ROOT / "docs" / "batch.md").read_text(), re.MULTILINE | re.DOTALL)
    manifests = render("nights", lambda _: example)
    (settings,) = [one for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"] == "batch-settings"]
    spec = named(manifests, "CronJob", "batch")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == settings["data"]["SPARK_IMAGE"]
    assert settings["data"]["SPARK_IMAGE"] == f"registry.example.com/pantree/batch-spark:{version()}"


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_overlay_gets_the_batch_and_keeps_the_rest(overlay: str) -> None:
    manifests = rendered(SPARK, overlay)
    (job,) = of_kind(manifests, "CronJob")
    assert job["metadata"]["namespace"] == named(manifests, "Deployment", "gateway")["metadata"]["namespace"]
    parts = {manifest["metadata"]["name"] for manifest in of_kind(manifests, "Deployment")}
    for connection in ingress_connections(manifests) | egress_connections(manifests):
        if "batch" in connection.caller + connection.called:
            assert not {connection.caller, connection.called} & parts


@CASES
def test_one_night_at_a_time_and_a_stopped_one_is_continued(components: tuple[str, ...]) -> None:
    if components == KUBEFLOW:
        schedule = named(rendered(KUBEFLOW), "ScheduledSparkApplication", "batch")["spec"]
        assert not list(of_kind(rendered(KUBEFLOW), "CronJob"))
        assert schedule["template"]["restartPolicy"]["onFailureRetries"] == 3
    else:
        (manifest,) = of_kind(rendered(components), "CronJob")
        schedule, job = manifest["spec"], manifest["spec"]["jobTemplate"]["spec"]
        assert {"successfulJobsHistoryLimit", "failedJobsHistoryLimit", "timeZone"} <= set(schedule)
        assert job["activeDeadlineSeconds"] < 86_400 - schedule["startingDeadlineSeconds"]
        assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert schedule["concurrencyPolicy"] == "Forbid"
    assert len(schedule["schedule"].split()) == 5
    if components in (LOCAL, SPARK):
        assert job["backoffLimit"] == 3
        (failing,) = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
        # The exit code of invalid arguments in docs/batch.md.
        assert (failing["onExitCodes"]["values"], failing["onExitCodes"]["containerName"]) == ([2], "batch")


@CASES
def test_arguments_are_those_of_the_command(components: tuple[str, ...]) -> None:
    batch, nightly, purchases, directory, *options = words_of(components)
    assert (batch, nightly) == ("batch", "nightly")
    context = NIGHTLY.make_context("nightly", [purchases, directory, *options])
    assert context.params["keep_runs"] > 0
    assert context.params["engine"] == ("local" if components == LOCAL else "spark")
    assert all(path.startswith(f"{DIRECTORY}/") for path in (purchases, directory, str(context.params["metrics"])))
    if components == LOCAL:
        limits = container_of(LOCAL)["resources"]["limits"]
        assert context.params["workers"] == int(limits["cpu"])
        # 500 MB for each worker, and for the process that lays out.
        assert int(limits["memory"].removesuffix("Gi")) * 2 > context.params["workers"] + 1
        assert context.params["buckets"] >= 4 * context.params["workers"]
        return
    cores = executor_sizes(components)[0] * executor_sizes(components)[1]
    assert context.params["wave_buckets"] >= 3 * cores
    assert context.params["buckets"] % context.params["wave_buckets"] == 0


def executor_sizes(components: tuple[str, ...]) -> tuple[int, int, int]:
    """Number of executors, cores of each, and gigabytes for Python."""
    if components == KUBEFLOW:
        executor = application_of(KUBEFLOW)["executor"]
        return executor["instances"], executor["cores"], int(executor["memoryOverhead"].removesuffix("g"))
    settings = settings_of(components)
    names = ("instances", "cores", "memoryOverhead")
    instances, cores, overhead = (int(settings[f"spark.executor.{name}"].removesuffix("g")) for name in names)
    return instances, cores, overhead


@ON_SPARK
def test_executors_have_memory_for_python_and_buckets_enough_attempts(components: tuple[str, ...]) -> None:
    _, cores, overhead = executor_sizes(components)
    assert 2 * overhead > cores, "a Python worker takes some 500 MB"
    settings = settings_of(components)
    assert settings["spark.task.maxFailures"] == "20"
    assert settings["spark.authenticate"] == "true"


def restricted(pod: Any, container: Any) -> None:
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"] == {"drop": ["ALL"]}


@CASES
def test_every_pod_is_restricted_and_sees_the_volume(components: tuple[str, ...]) -> None:
    manifests = rendered(components)
    for job in of_kind(manifests, "CronJob"):
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        restricted(pod["securityContext"], container["securityContext"])
        assert pod["enableServiceLinks"] is False
        assert set(container["resources"]["limits"]) == {"cpu", "memory"} == set(container["resources"]["requests"])
        assert pod["automountServiceAccountToken"] is (components != LOCAL)
    claim = named(manifests, "PersistentVolumeClaim", "batch")["spec"]
    assert claim["accessModes"] == (["ReadWriteOnce"] if components == LOCAL else ["ReadWriteMany"])
    if components in (LOCAL, SPARK):
        pod = job_of(components)["jobTemplate"]["spec"]["template"]["spec"]
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "batch"}} in pod["volumes"]
        assert {"name": "data", "mountPath": DIRECTORY} in container_of(components)["volumeMounts"]
        assert pod["securityContext"]["fsGroup"] == 10001
    roles = {SPARK: ("executor",), APACHE: ("driver", "executor")}.get(components, ())
    for role in roles:
        prefix = f"spark.kubernetes.{role}.volumes.persistentVolumeClaim.data"
        settings = settings_of(components)
        assert (settings[f"{prefix}.options.claimName"], settings[f"{prefix}.mount.path"]) == ("batch", DIRECTORY)
    if components == SPARK:
        template = generated(SPARK, "batch-executor")["spec"]
        assert template["automountServiceAccountToken"] is False
        restricted(template["securityContext"], template["containers"][0]["securityContext"])


def test_driver_in_client_mode_is_found_by_its_executors() -> None:
    """Settings of docs/running-on-kubernetes.md of Spark, "Client Mode"."""
    manifests, settings, container = rendered(SPARK), settings_of(SPARK), container_of(SPARK)
    assert container["command"] == ["spark-submit"]
    assert container["args"][:2] == ["--master=k8s://https://kubernetes.default.svc", "--deploy-mode=client"]
    service = named(manifests, "Service", settings["spark.driver.host"])["spec"]
    assert service["clusterIP"] == "None"
    ports = {int(settings[f"spark.driver.{name}"]) for name in ("port", "blockManager.port")}
    assert {port["port"] for port in service["ports"]} == ports
    labels = job_of(SPARK)["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in container["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    assert settings["spark.kubernetes.driver.pod.name"] == "$(POD_NAME)"
    assert settings["spark.kubernetes.namespace"] == "$(POD_NAMESPACE)"
    (configuration,) = [
        one["data"] for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"].startswith("batch-settings")
    ]
    assert settings["spark.kubernetes.container.image"] == "$(SPARK_IMAGE)"
    assert configuration["SPARK_IMAGE"] == container["image"]
    template = Path(settings["spark.kubernetes.executor.podTemplateFile"])
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts[str(template.parent)] == "executor"


@ON_SPARK
def test_account_of_the_driver_has_the_rights_that_spark_needs(components: tuple[str, ...]) -> None:
    manifests = rendered(components)
    (rule,) = named(manifests, "Role", "batch")["rules"]
    assert set(rule["resources"]) == {"pods", "services", "configmaps", "persistentvolumeclaims"}
    assert {"get", "list", "watch", "create", "delete", "deletecollection"} <= set(rule["verbs"])
    for binding in of_kind(manifests, "RoleBinding"):
        (subject,) = binding["subjects"]
        assert named(manifests, "ServiceAccount", subject["name"])
        assert named(manifests, binding["roleRef"]["kind"], binding["roleRef"]["name"])
        assert subject["namespace"] == "nights"
    read_account: _Readers = {
        SPARK: lambda: job_of(SPARK)["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"],
        KUBEFLOW: lambda: application_of(KUBEFLOW)["driver"]["serviceAccount"],
        APACHE: lambda: settings_of(APACHE)["spark.kubernetes.authenticate.driver.serviceAccountName"],
    }
    assert read_account[components]() == "batch"


@ON_SPARK
def test_policies_allow_driver_and_executors_to_talk(components: tuple[str, ...]) -> None:
    manifests = rendered(components)
    ingress, egress = ingress_connections(manifests), egress_connections(manifests)
    talks = {
        Connection("batch-executor", "batch", 7078),
        Connection("batch-executor", "batch", 7079),
        Connection("batch", "batch-executor", 7079),
        Connection("batch-executor", "batch-executor", 7079),
    }
    assert ingress == talks
    callers = {"batch", "batch-submitter"} if components == APACHE else {"batch"}
    assert egress - talks == {Connection(caller, "internet", port) for caller in callers for port in (443, 6443)}
    name = "app.kubernetes.io/name"
    if components == KUBEFLOW:
        application = application_of(KUBEFLOW)
        found = {application[role]["labels"][name] for role in ("driver", "executor")}
        assert found == {"batch", "batch-executor"}
        return
    settings = settings_of(components)
    assert settings[f"spark.kubernetes.executor.label.{name}"] == "batch-executor"
    if components == APACHE:
        assert settings[f"spark.kubernetes.driver.label.{name}"] == "batch"


def test_application_of_kubeflow_has_the_fields_of_its_api() -> None:
    manifest = named(rendered(KUBEFLOW), "ScheduledSparkApplication", "batch")
    assert manifest["apiVersion"] == "sparkoperator.k8s.io/v1beta2"
    limits = {"successfulRunHistoryLimit", "failedRunHistoryLimit"}
    assert set(manifest["spec"]) == {"schedule", "concurrencyPolicy", "template", *limits}
    application = application_of(KUBEFLOW)
    required = {"type", "sparkVersion", "mainApplicationFile", "driver", "executor"}
    more = {"mode", "pythonVersion", "image", "imagePullPolicy", "arguments", "sparkConf", "volumes", "restartPolicy"}
    assert set(application) == required | more
    assert (application["type"], application["mode"], application["pythonVersion"]) == ("Python", "cluster", "3")
    assert application["restartPolicy"]["type"] == "OnFailure"
    pod = {"cores", "memory", "memoryOverhead", "labels", "podSecurityContext", "securityContext", "volumeMounts"}
    assert set(application["driver"]) == pod | {"serviceAccount", "envFrom"}
    assert set(application["executor"]) == pod | {"instances"}
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "batch"}} in application["volumes"]
    for role in ("driver", "executor"):
        restricted(application[role]["podSecurityContext"], application[role]["securityContext"])
        assert {"name": "data", "mountPath": DIRECTORY} in application[role]["volumeMounts"]
    (reference, _) = application["driver"]["envFrom"]
    maps = {one["metadata"]["name"] for one in of_kind(rendered(KUBEFLOW), "ConfigMap")}
    assert reference["configMapRef"]["name"] in maps, "kustomize adds a hash to the name"


def test_application_of_apache_has_the_fields_of_its_api() -> None:
    manifest = generated(APACHE, "batch-application")
    assert (manifest["apiVersion"], manifest["kind"]) == ("spark.apache.org/v1", "SparkApplication")
    # Without a fixed name, each night would start another one.
    assert set(manifest["metadata"]) == {"name"}
    spec = manifest["spec"]
    fields = {"runtimeVersions", "pyFiles", "driverArgs", "sparkConf", "applicationTolerations"}
    assert set(spec) == {*fields, "driverSpec", "executorSpec"}
    tolerations = spec["applicationTolerations"]
    assert set(tolerations) == {"restartConfig", "ttlAfterStopMillis"}
    assert set(tolerations["restartConfig"]) == {"restartPolicy", "maxRestartAttempts", "restartBackoffMillis"}
    assert tolerations["restartConfig"]["restartPolicy"] == "OnFailure"
    assert 0 < tolerations["ttlAfterStopMillis"] < 86_400_000
    assert all(isinstance(value, str) for value in spec["sparkConf"].values())
    for role in ("driverSpec", "executorSpec"):
        pod = spec[role]["podTemplateSpec"]["spec"]
        restricted(pod["securityContext"], pod["containers"][0]["securityContext"])
    submitter = container_of(APACHE, "batch-submitter")
    assert submitter["command"] == ["kubectl"]
    assert submitter["args"][:2] == ["create", "--filename=/etc/pantree/spark-application.yaml"]
    (rule,) = named(rendered(APACHE), "Role", "batch-submitter")["rules"]
    assert rule == {"apiGroups": ["spark.apache.org"], "resources": ["sparkapplications"], "verbs": ["create"]}


@CASES
def test_images_are_those_that_are_built(components: tuple[str, ...]) -> None:
    read_image: _Readers = {
        KUBEFLOW: lambda: application_of(KUBEFLOW)["image"],
        APACHE: lambda: settings_of(APACHE)["spark.kubernetes.container.image"],
    }
    image = read_image.get(components, lambda: container_of(components)["image"])()
    name, _, tag = image.removeprefix("pantree/").partition(":")
    assert (name, tag) == ("batch" if components == LOCAL else "batch-spark", version())
    assert name in IMAGE_NAMES
    if components in (KUBEFLOW, APACHE):
        application = application_of(components)
        versions = application.get("runtimeVersions", application)
        assert versions["sparkVersion"] == SPARK_VERSION
    read_program: _Readers = {
        LOCAL: lambda: "local:///opt/pantree/spark/cli.py",
        SPARK: lambda: "local://" + next(word for word in container_of(SPARK)["args"] if word.endswith(".py")),
        KUBEFLOW: lambda: application_of(KUBEFLOW)["mainApplicationFile"],
        APACHE: lambda: application_of(APACHE)["pyFiles"],
    }
    program = read_program[components]()
    assert f" > {program.removeprefix('local://')}\n" in SPARK_DOCKERFILE.read_text()


def test_image_for_spark_differs_from_that_of_a_part_in_java_user_and_program_only() -> None:
    def final_stage(file: Path) -> list[str]:
        stage = file.read_text().rpartition("FROM ")[2]
        return [line for line in stage.splitlines() if not line.startswith("#")]

    part, spark = final_stage(DOCKERFILE), final_stage(SPARK_DOCKERFILE)
    assert [line for line in part if line not in spark] == ['ENTRYPOINT ["serve"]']
    added = [line.split()[0] + " " + line.split()[1].partition("=")[0] for line in spark if line not in part]
    assert added == [
        "COPY --from",
        "COPY --from",
        "ENV JAVA_HOME",
        'ENTRYPOINT ["python",',
    ]


def test_entry_point_starts_what_spark_asks_for() -> None:
    home = Path("/spark")
    variables = {
        "JAVA_HOME": "/java",
        "SPARK_DRIVER_BIND_ADDRESS": "10.0.0.1",
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078",
        "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "4",
        "SPARK_EXECUTOR_MEMORY": "1024m",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.2",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "batch-exec-3",
        "SPARK_CONF_DIR": "/opt/spark/conf",
        "SPARK_JAVA_OPT_10": "-Dlast=1",
        "SPARK_JAVA_OPT_2": "-Dfirst=a b",
    }
    driver = command_of(["driver", "--properties-file", "p", "local:///cli.py", "batch"], variables, home)
    assert driver[:3] == ["/spark/bin/spark-submit", "--conf", "spark.driver.bindAddress=10.0.0.1"]
    assert driver[3:] == ["--deploy-mode", "client", "--properties-file", "p", "local:///cli.py", "batch"]
    executor = command_of(["executor"], variables, home)
    assert executor[:5] == ["/java/bin/java", "-Dfirst=a b", "-Dlast=1", "-Xms1024m", "-Xmx1024m"]
    assert executor[5:7] == ["-cp", "/opt/spark/conf:/spark/jars/*"]
    arguments = dict(zip(executor[8::2], executor[9::2], strict=True))
    assert (arguments["--podName"], arguments["--hostname"]) == ("batch-exec-3", "10.0.0.2")
    assert set(arguments.values()) <= set(variables.values())
    with pytest.raises(KeyError):
        command_of(["executor"], {}, home)
    assert command_of(["pantree", "batch", "status", "runs"], {}, home) == ["pantree", "batch", "status", "runs"]
