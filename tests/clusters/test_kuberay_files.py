"""The KubeRay files are valid, and their pods, commands and applications fit what they run."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from known_commands import parse_command
from kuberay import SPECS, Cluster, Job, Service
from ray.serve.schema import ServeDeploySchema

from actors.cluster import Need, NodeRoom

FILES = Path(__file__).resolve().parents[2] / "examples" / "clusters" / "kuberay"


def spec_of(name: str) -> Cluster | Job | Service:
    resource = yaml.safe_load((FILES / name).read_text(encoding="utf-8"))
    assert resource["apiVersion"] == "ray.io/v1"
    assert set(resource) == {"apiVersion", "kind", "metadata", "spec"}
    return SPECS[resource["kind"]].model_validate(resource["spec"])


def clusters() -> list[Cluster]:
    found: list[Cluster] = []
    for path in sorted(FILES.glob("*.yaml")):
        match spec_of(path.name):
            case Cluster() as cluster:
                found.append(cluster)
            case Job(rayClusterSpec=cluster) | Service(rayClusterConfig=cluster):
                found.append(cluster)
    assert len(found) == 3
    return found


def test_an_unknown_field_is_refused() -> None:
    resource: dict[str, Any] = yaml.safe_load((FILES / "ray-cluster.yaml").read_text(encoding="utf-8"))
    resource["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["img"] = "x"
    with pytest.raises(Exception, match="img"):
        Cluster.model_validate(resource["spec"])


@pytest.mark.parametrize("cluster", clusters())
def test_a_worker_holds_a_labeller_and_the_head_none(cluster: Cluster) -> None:
    assert cluster.rayVersion == ray.__version__
    assert cluster.authOptions.mode == "token"
    assert cluster.headGroupSpec.rayStartParams["num-cpus"] == "0"
    for group in cluster.workerGroupSpecs:
        assert group.minReplicas <= group.replicas <= group.maxReplicas
        assert cluster.enableInTreeAutoscaling or group.minReplicas == group.maxReplicas
        (container,) = group.template["spec"]["containers"]
        requests = container["resources"]["requests"]
        room = NodeRoom("", "", cpus=float(requests["cpu"]), gpus=float(requests["nvidia.com/gpu"]))
        assert Need(cpus=1.0, gpus=1.0).fits(room) == 1
        assert int(group.rayStartParams["object-store-memory"]) < 2**30


def test_the_command_of_the_job_is_known() -> None:
    job = spec_of("ray-job.yaml")
    assert isinstance(job, Job)
    program, *arguments = shlex.split(job.entrypoint)
    assert program == "fo1"
    given = parse_command(arguments)
    assert (given["address"], given["actors"]) == ("auto", "1:8")


def test_ray_serve_takes_the_application() -> None:
    service = spec_of("ray-service.yaml")
    assert isinstance(service, Service)
    config = ServeDeploySchema.model_validate(yaml.safe_load(service.serveConfigV2))
    (application,) = config.applications
    module, name = application.import_path.split(":")
    build = getattr(import_module(module), name)
    (settings,) = (build.__annotations__["settings"],)
    bound = build(settings.model_validate(application.args))
    assert bound._bound_deployment.ray_actor_options["num_gpus"] == 1
    assert bound._bound_deployment.init_args[0].startswith("s3://")
