"""What is computed in several processes and in one, to be compared: small recipes and batches."""

import dataclasses
from dataclasses import replace
from typing import Any

import torch
from learner_loops import random_batch

from strop.episodes.single_turn import SingleTurn
from strop.models import language_model
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.regularisation.reference_kl import ReferenceKL
from strop.objectives.value.clipped_value import ClippedValue
from strop.recipe import AdamW, Heldout, Recipe, Term
from strop.recipes.grpo import grpo
from strop.recipes.sft import sft
from strop.records import Batch
from strop.rewards.soft_overlong import SoftOverlong

# eps well above the rounding of a gradient: an element that is all but zero would else move by all of lr, either way
ADAMW = AdamW(weight_decay=0.1, clip_norm=0.5, eps=1e-5)
PENALISED = (Term(objective=ClipHigher()), Term(objective=ReferenceKL(), weight=0.1))
WITH_VALUES = (Term(objective=ClipHigher()), Term(objective=ClippedValue(), weight=0.5))


def tiny_folder(tiny_model: Any, tmp_path_factory: Any, seed: int = 0) -> str:
    """Two layers and random weights; the rows of the embedding cannot be divided evenly by 2."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    language_model.save(tiny_model("qwen3", vocab_size=59, seed=seed), folder)
    return str(folder)


def small(recipe: Recipe) -> Recipe:
    """Few tokens, fp32, micro-batches of a few rows."""
    return replace(recipe, precision="fp32", token_budget=60, slots=8, checkpoint_every=2, keep=0)


def two_stages(model: str, steps: int) -> Recipe:
    """Two supervised steps, then `steps` with a reference and with rewards that differ even for an untrained model."""
    first = sft("arithmetic", model=model, steps=2, problems=6).stages[0]
    base = grpo("arithmetic", model=model, steps=steps, problems=4, samples=4, max_tokens=12)
    rewards = (SoftOverlong(max_length=12, buffer=10),)
    second = replace(base.stages[0], objective=PENALISED, rewards=rewards, minibatches=2)
    stages = tuple(replace(stage, optimizer=replace(ADAMW, lr=1e-3)) for stage in (first, second))
    heldout = Heldout(problems=4, quick=4, every=0, episode=SingleTurn(max_tokens=12))
    return small(replace(base, name="two_stages", stages=stages, heldout=heldout))


def batch_of(step: int, rows: int = 13) -> Batch:
    """With what a value head is compared with."""
    batch = random_batch(rows, seed=step)
    numbers = torch.Generator().manual_seed(step)
    drawn = {name: torch.rand(batch.mask.shape, generator=numbers) for name in ("return", "value")}
    return dataclasses.replace(batch, signals={name: values * batch.mask for name, values in drawn.items()})
