"""The fields of KubeRay's resources (ray.io/v1) that we use, from the API reference of KubeRay 1.5.

An unknown field, which Kubernetes would drop without a word, is an error. Pods are validated by the schemas
of Kubernetes itself.
"""

from typing import Annotated, Any, Literal

import kubernetes_validate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

KUBERNETES = "1.34"


def _pod(template: dict[str, Any]) -> dict[str, Any]:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    return pod


PodTemplate = Annotated[dict[str, Any], AfterValidator(_pod)]
StartParams = dict[str, Annotated[str, Field(strict=True)]]
Count = Annotated[int, Field(ge=0, strict=True)]


class Resource(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuthOptions(Resource):
    mode: Literal["disabled", "token"]


class AutoscalerOptions(Resource):
    idleTimeoutSeconds: Count = 60
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] = "Default"
    version: Literal["v1", "v2"] = "v2"


class HeadGroup(Resource):
    rayStartParams: StartParams
    template: PodTemplate


class WorkerGroup(Resource):
    groupName: str
    replicas: Count
    minReplicas: Count
    maxReplicas: Count
    rayStartParams: StartParams
    template: PodTemplate


class Cluster(Resource):
    rayVersion: Annotated[str, Field(strict=True)]
    authOptions: AuthOptions
    enableInTreeAutoscaling: bool = False
    autoscalerOptions: AutoscalerOptions | None = None
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class Job(Resource):
    entrypoint: str
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: Count
    backoffLimit: Count
    rayClusterSpec: Cluster


class Service(Resource):
    serveConfigV2: str
    rayClusterConfig: Cluster


SPECS: dict[str, type[Cluster | Job | Service]] = {
    "RayCluster": Cluster,
    "RayJob": Job,
    "RayService": Service,
}
