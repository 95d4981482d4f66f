"""The learner: from a packed batch to changed weights, one optimiser step at a time."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from strop.backends.torch.logprobs import Scored, Scorer
from strop.backends.torch.weights import Masters, Tree, check_names
from strop.batching import count, lengths, select
from strop.errors import BackendError
from strop.models.language_model import LanguageModel, without_bars
from strop.objectives import Average, Objective
from strop.recipe import AdamW
from strop.records import Batch, Float, Report


class TorchLearner:
    """One process, any transformers causal language model; shares the model's weights with whoever else holds it.

    The model computes in `dtype` (by default the precision it was loaded in); masters, moments and gathered gradients
    are fp32. Numbers in a `Report`, averaged over the tokens of the rows that were used:

    - `loss`: what was minimised; skipped rows count in its divisor.
    - `grad_norm`: of the whole gradient, before clipping.
    - `entropy`: of the next-token distribution, nats.
    - `mismatch/kl`: k3 estimate of KL(behaviour || learner) on the stored behaviour log-probabilities, nats per token;
      0 where sampler and learner agree. `mismatch/max_ratio`: the largest ratio between the two, in either direction.
      Both are as of the start of the step and leave out tokens whose behaviour log-probability is unknown.
    - `lr`; `step/skipped`: 1 where the gradient was not finite and nothing was changed.
    - `rows/used`, `rows/skipped`: rows that went through the model, and rows left out because their advantage is 0.
    - `tokens`: tokens that carry loss, of all rows.
    - whatever the objective logs.
    """

    def __init__(self, model: LanguageModel, *, token_budget: int = 16384, dtype: torch.dtype | None = None) -> None:
        self.model = model
        self.token_budget = token_budget
        self.net = model.net
        self.masters = Masters(self.net, dtype)
        self.scorer = Scorer(self.net)
        self.reference: list[Tensor] | None = None

    @property
    def device(self) -> torch.device:
        return self.masters.flat.device

    def set_reference(self) -> None:
        """Freeze the present weights, in compute precision, as the reference that `ref_logp` is taken under."""
        self.reference = self.masters.snapshot()

    def step(self, batch: Batch, objective: Objective, average: Average, optimizer: AdamW, lr: float) -> Report:
        """Gradient of the averaged objective over the whole batch, then one optimiser step."""
        if "teacher_logits" in objective.needs and batch.teacher_logits is None:
            raise BackendError(f"{type(objective).__name__} needs teacher_logits, and the batch has none.")
        used = self._used(batch, objective)
        sums = _Sums(select(batch, used))
        for rows in self._split(batch, used, objective.needs, whole=objective.whole_groups):
            part = self._filled(self._to_device(select(batch, rows)), objective.needs)
            scored = self.scorer(part, objective.needs)
            part = dataclasses.replace(
                part, old_logp=_known(part.old_logp, scored.logp), logits=scored.logits, hidden=scored.hidden
            )
            loss = average(objective(scored.logp, part), part)
            if loss.requires_grad:
                self.masters.gather(loss)
            sums.add(loss, scored, part, objective, select(batch, rows).old_logp.to(self.device))
        norm, updated = self.masters.update(optimizer, lr) if used else (0.0, True)
        return Report(
            sums.means()
            | {
                "grad_norm": norm,
                "lr": lr,
                "step/skipped": float(not updated),
                "rows/used": float(len(used)),
                "rows/skipped": float(len(batch) - len(used)),
                "tokens": float(batch.counts.tokens),
            }
        )

    def logp(self, batch: Batch) -> Float[Tensor, "N T"]:
        """Log-probabilities of the batch's tokens under the present weights, without gradient; 0 under padding."""
        out = torch.zeros(batch.mask.shape, dtype=torch.float32)
        with torch.no_grad():
            for rows in self._split(batch, range(len(batch))):
                part = self._to_device(select(batch, rows))
                out[rows, : part.mask.shape[1]] = self.scorer(part, ()).logp.cpu()
        return out

    def prepare(self, batch: Batch, objective: Objective) -> Batch:
        """Fill in what must be the same in every pass over a batch.

        Unknown behaviour log-probabilities are taken under the present weights, the reference's under the reference.
        `step` does both by itself where a batch is gone through once.
        """
        if bool(batch.old_logp.isnan().any()):
            batch = dataclasses.replace(batch, old_logp=_known(batch.old_logp, self.logp(batch)))
        if "ref_logp" in objective.needs and batch.ref_logp is None:
            with self.masters.replaced(self._reference()):
                batch = dataclasses.replace(batch, ref_logp=self.logp(batch))
        return batch

    def state(self) -> Tree:
        """Everything an exact continuation needs: masters, moments, step count, reference. Copies."""
        tree = self.masters.state()
        if self.reference is not None:
            tree["reference"] = {n: v.clone() for n, v in zip(self.masters.names, self.reference, strict=True)}
        return tree

    def restore(self, tree: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from what `state` gave, with the same numbers as if there had been no break."""
        self.masters.restore(tree)
        self.reference = None
        if "reference" in tree:
            check_names(self.masters.names, tree["reference"], "reference")
            self.reference = [
                tree["reference"][name].to(weight)
                for name, weight in zip(self.masters.names, self.masters.weights, strict=True)
            ]

    def save_model(self, folder: Path) -> None:
        """The fp32 masters as a Hugging Face folder: safetensors, config, generation config, tokenizer."""
        masters = zip(self.masters.weights, self.masters.masters, strict=True)
        # one tensor for each weight, however many names it has: that is how transformers knows tied weights
        fp32 = {id(weight): master.detach().clone() for weight, master in masters}
        named = dict(self.net.named_parameters(remove_duplicate=False))
        weights = {n: fp32.get(id(named.get(n)), value) for n, value in self.net.state_dict().items()}
        with without_bars():
            self.net.save_pretrained(folder, state_dict=weights)
        config = copy.deepcopy(self.net.config)
        config.dtype = torch.float32
        config.save_pretrained(folder)
        self.model.tokenizer.save(folder)

    def _used(self, batch: Batch, objective: Objective) -> list[int]:
        rows = batch.mask.any(dim=1)
        if objective.skips_zero_advantage:
            rows &= (torch.where(batch.mask, batch.advantage, 0.0) != 0).any(dim=1)
        if objective.whole_groups:
            rows = torch.isin(batch.group, batch.group[rows])
        return rows.nonzero()[:, 0].tolist()

    def _split(
        self, batch: Batch, rows: Sequence[int], needs: tuple[str, ...] = (), *, whole: bool = False
    ) -> list[list[int]]:
        # rows that share a prompt share its work where they are together
        whole = whole or self.scorer.packs(batch, needs)
        sizes = [len(prompt) + int(n) for prompt, n in zip(batch.prompts, lengths(batch.mask), strict=True)]
        return micro_batches(
            {row: sizes[row] for row in rows}, batch.group.tolist() if whole else None, self.token_budget
        )

    def _to_device(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        moved = {
            f.name: value.to(self.device, non_blocking=True)
            for f in dataclasses.fields(batch)
            if isinstance(value := getattr(batch, f.name), Tensor)
        }
        return dataclasses.replace(batch, **moved)

    def _filled(self, part: Batch, needs: tuple[str, ...]) -> Batch:
        if "ref_logp" not in needs or part.ref_logp is not None:
            return part
        with torch.no_grad(), self.masters.replaced(self._reference()):
            return dataclasses.replace(part, ref_logp=self.scorer(part, ()).logp)

    def _reference(self) -> list[Tensor]:
        if self.reference is None:
            self.set_reference()
        assert self.reference is not None
        return self.reference


def micro_batches(sizes: Mapping[int, int], groups: Sequence[int] | None, budget: int) -> list[list[int]]:
    """Rows of similar length together, longest first, with at most `budget` tokens, padding included, in one part.

    With `groups` the rows of one group stay together. A row or group above the budget is a part of its own.

    >>> micro_batches({0: 3, 1: 9, 2: 4, 3: 9}, None, budget=20)
    [[1, 3], [0, 2]]
    >>> micro_batches({0: 3, 1: 9, 2: 4, 3: 9}, [0, 0, 1, 1], budget=20)
    [[0, 1], [2, 3]]
    """
    units: dict[int, list[int]] = {}
    for row in sizes:
        units.setdefault(row if groups is None else groups[row], []).append(row)
    ordered = sorted(units.values(), key=lambda rows: (-max(sizes[row] for row in rows), rows[0]))
    parts: list[list[int]] = []
    width = 0
    for rows in ordered:
        if parts and (len(parts[-1]) + len(rows)) * width <= budget:
            parts[-1] += rows
        else:
            width = max(sizes[row] for row in rows)
            parts.append(list(rows))
    return [sorted(part) for part in parts]


def _known(old_logp: Float[Tensor, "N T"], logp: Float[Tensor, "N T"]) -> Float[Tensor, "N T"]:
    return torch.where(old_logp.isnan(), logp.detach(), old_logp)


class _Sums:
    """Sums over micro-batches of what a report says, and its means over the tokens of the rows in use."""

    def __init__(self, used: Batch) -> None:
        self.counts = count(used.mask, used.group)
        self.loss = 0.0
        self.totals: dict[str, float] = {}
        self.mismatch = 0.0
        self.known = 0
        self.max_ratio = 1.0

    @torch.no_grad()
    def add(self, loss: Tensor, scored: Scored, part: Batch, objective: Objective, old_logp: Tensor) -> None:
        self.loss += float(loss)
        numbers = objective.log(scored.logp.detach(), dataclasses.replace(part, counts=self.counts))
        for name, values in {"entropy": scored.entropy, **numbers}.items():
            total = float(torch.where(part.mask, values, 0.0).sum())
            self.totals[name] = self.totals.get(name, 0.0) + total
        known = part.mask & ~old_logp.isnan()
        difference = (scored.logp.detach() - old_logp)[known].clamp(-20, 20)
        if difference.numel():
            self.known += difference.numel()
            self.mismatch += float((difference.exp() - 1 - difference).sum())
            self.max_ratio = max(self.max_ratio, float(difference.abs().max().exp()))

    def means(self) -> dict[str, float]:
        means = {name: total / max(self.counts.tokens, 1) for name, total in self.totals.items()}
        if self.known:
            means |= {"mismatch/kl": self.mismatch / self.known, "mismatch/max_ratio": self.max_ratio}
        return {"loss": self.loss} | means
