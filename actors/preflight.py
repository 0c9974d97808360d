"""Whether a cluster can run the labellers: it has room for them and every node can read the model.

Runs one small task per node; loads no model.
"""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster import LOCAL, chosen_address, need_of, nodes, ray_for
from fo1_data.errors import first_line
from fo1_data.model.node_cache import find_problem
from fo1_data.opinions.load import is_server
from schemas.jobs import RunConfig

ANSWER_WITHIN_S = 60.0


def check_cluster(config: RunConfig) -> dict[str, Any]:
    """Room and nodes of the cluster that the run would use, and what it needs. Raises ClusterError.

    can_place: whether the least number of labellers fits if nothing else runs there. nodes[].model: "ok", or
    why that node cannot read the model or the detector.
    """
    with ray_for(config):
        room = nodes()
        need = need_of(config, room)
        fits = sum(need.fits(node) for node in room)
        named = (config.model, config.proposals, config.masks, config.second_opinion)
        models = [name for name in named if name is not None and not is_server(name)]
        answers = [_ask(node.node_id, models) for node in room]
        return {
            "address": "local" if chosen_address(config) == LOCAL else chosen_address(config),
            "labellers_asked_for": config.actors,
            "labellers_that_fit": fits,
            "can_place": fits >= config.actor_range[0],
            "each_takes": {"cpus": need.cpus, "gpus": need.gpus},
            "nodes": [
                {"address": node.address, "cpus": node.cpus, "gpus": node.gpus, "model": _answer(ref)}
                for node, ref in zip(room, answers, strict=True)
            ],
        }


def _ask(node_id: str, models: list[str]) -> Any:
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_problem_on_this_node)
    place = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    return task.options(scheduling_strategy=place).remote(models)


def _problem_on_this_node(models: list[str]) -> str | None:
    return next((problem for model in models if (problem := find_problem(model)) is not None), None)


def _answer(ref: Any) -> str:
    try:
        problem = ray.get(ref, timeout=ANSWER_WITHIN_S)
    except ray.exceptions.RayError as error:
        return f"no answer: {first_line(error)}"
    return problem or "ok"
