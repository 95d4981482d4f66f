"""The process that leads: starts the actors, and makes an engine of them."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from strop.backends.fsdp.limits import check as check_divided
from strop.backends.ray import limits
from strop.backends.ray.actor import Actor
from strop.backends.ray.actors import LearnerActor, Place, SamplerActor
from strop.backends.ray.cluster import Cluster, joined
from strop.backends.ray.learner import Learning, Published, remote
from strop.backends.ray.sampler import Pool, RaySampler
from strop.backends.ray.toll import Toll
from strop.backends.workers import Workers
from strop.engine import SELF, VLLM, Engine, served_sampler, served_teacher
from strop.lint import lint
from strop.recipe import Recipe, to_json
from strop.text import is_address


@contextmanager
def open_cluster(recipe: Recipe, workers: Workers) -> Generator[Engine, None, None]:
    """An engine whose learners and samplers are actors on a Ray cluster."""
    limits.check(workers)
    if workers.learners > 1:
        check_divided(recipe, "--learners", draws=False)
    with (
        joined(workers.cluster, workers.samplers + workers.learners) as cluster,
        _actors(cluster, workers) as actors,
    ):
        engine, pool = _opened(recipe, *actors)
        try:
            yield engine
        finally:
            pool.close()
            for judge in engine.judges.values():
                judge.close()


@contextmanager
def _actors(cluster: Cluster, workers: Workers) -> Generator[tuple[Actor, list[Actor]], None, None]:
    """The learner and the samplers, which come up at the same time."""
    learner = Actor(cluster, LearnerActor, "The learner", size=workers.learners)
    many = workers.samplers
    others = [Actor(cluster, SamplerActor, f"Sampler {i + 1} of {many}") for i in range(many)]
    try:
        yield learner, others
    finally:
        for actor in (learner, *others):
            actor.end()


def _opened(recipe: Recipe, learner: Actor, samplers: Sequence[Actor]) -> tuple[Engine, Pool]:
    here = str(learner.cluster.ray.get_runtime_context().get_node_id())
    own = learner.places()
    others = [place for actor in samplers for place in actor.places()]
    toll = Toll(lambda: sum(actor.replaced for actor in (learner, *samplers)))
    learning = Learning(learner, _opening(recipe, _threads(recipe, own, others, here)), toll)
    about = learning.open()
    lint(recipe, about.tokenizer, about.context)
    pool = Pool(
        samplers, _opening(replace(recipe, precision=about.precision), _threads(recipe, others, own, here)), toll
    )
    context = pool.open()

    def own_weights() -> Published | None:
        return learning.publish() if recipe.teacher == SELF else None

    teacher = served_teacher(recipe)
    if recipe.teacher and not is_address(recipe.teacher):
        teacher = RaySampler(pool, about.tokenizer, context, own_weights, whom="teacher")
    policy = RaySampler(pool, about.tokenizer, context, learning.publish, teacher=teacher)
    sampler = served_sampler(recipe, policy) if recipe.sampler not in ("", VLLM) else policy
    made: Any = remote(learning, toll)
    return Engine(recipe.task, sampler, made, own=policy), pool


def _opening(recipe: Recipe, threads: int) -> Callable[[Actor], Any]:
    text = to_json(recipe)

    def opening(actor: Actor) -> Any:
        actor.gather(threads)
        return actor.now.open.remote(text, threads)

    return opening


def _threads(recipe: Recipe, places: Sequence[Place], others: Sequence[Place], here: str) -> int:
    """Of each actor at these places: its share of the cores, where most of them are on one machine. Learner and
    samplers take turns, so that each of the two has all cores; where they draw ahead, half of them."""
    nodes = [place.node for place in places]
    share = max(nodes.count(node) for node in nodes)
    if recipe.staleness and {place.node for place in others} & set(nodes):
        share *= 2
    # on this machine what one process would take, which may be what the user said
    return max(1, min(torch.get_num_threads() if place.node == here else place.cores for place in places) // share)
