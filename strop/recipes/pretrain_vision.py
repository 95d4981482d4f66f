from dataclasses import replace

from strop.recipe import AdamW, Heldout, Recipe
from strop.recipes.sft import sft
from strop.tasks.described_pictures import DescribedPictures
from strop.tasks.mixture import Mixture
from strop.tasks.visual_puzzles import VisualPuzzles


def pretrain_vision(*, steps: int = 3000, seed: int = 0) -> Recipe:
    """Train the small model that sees, and its tokenizer, from scratch: on describing pictures, and on visual puzzles.

    Source: strop's own. Four of five rows describe eight pictures of any puzzles: from puzzles alone, whose pictures
    are alike and told of in few words, the model learns how a worked response goes, and not to see. They are as many as
    a puzzle has, so that it also learns which picture has which name.
    """
    tasks = DescribedPictures(pictures=8), VisualPuzzles()
    base = sft(Mixture(tasks=tasks, weights=(4.0, 1.0)), model="scratch:vision", steps=steps, seed=seed, max_tokens=192)
    rate = AdamW(lr=1e-3, schedule="cosine", warmup=50, floor=0.05, betas=(0.9, 0.98))
    return replace(
        base,
        name="pretrain_vision",
        stages=(replace(base.stages[0], name="pretrain", problems=16, optimizer=rate),),
        heldout=Heldout(episode=base.heldout.episode, problems=256, quick=128, every=500),
        precision="fp32",
        checkpoint_every=100,
        keep=1,
    )
