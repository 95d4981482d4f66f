"""The learner: from a packed batch to changed weights, one optimiser step at a time."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from strop.backends.torch.losses import Part, Policy, Sums
from strop.backends.torch.noting import annotated
from strop.backends.torch.term_gradients import TermGradients
from strop.backends.torch.weights import Masters, Tree
from strop.backends.torch.world import ALONE, World
from strop.batching import lengths, select, sharing
from strop.errors import BackendError
from strop.keys import Key
from strop.models import lora
from strop.models.language_model import LanguageModel, drawn, save_weights
from strop.objectives import Average, Objective
from strop.recipe import AdamW, Term, terms
from strop.records import Batch, Float, Group, Report

_HEADS = {
    "value": "value head: TorchLearner(with_values=True)",
    "projected": "projection: TorchLearner(with_projection=True)",
}

_LOGITS = 1 << 27
"""Largest number of logits of one micro-batch: 512 MB in fp32, of which a gradient and a teacher's make several."""


class TorchLearner:
    """Any transformers causal language model; shares the model's weights with whoever else holds it.

    The model computes in `dtype` (by default the precision it was loaded in); masters, moments and gathered gradients
    are fp32. Numbers in a `Report`, averaged over the tokens of the rows that were used:

    - `loss`: what was minimised; skipped rows count in its divisor.
    - `grad_norm`: of the whole gradient, before clipping.
    - `entropy`: of the next-token distribution, nats.
    - `mismatch/kl`: k3 estimate of KL(behaviour || learner) on the stored behaviour log-probabilities, nats per token;
      0 where sampler and learner agree. `mismatch/max_ratio`: the largest ratio between the two, in either direction.
      Both are as of the start of the step and leave out tokens that the policy did not write, or whose behaviour
      log-probability is unknown.
    - `lr`; `step/skipped`: 1 where the gradient was not finite and nothing was changed.
    - `rows/used`, `rows/skipped`: rows that went through the model, and rows left out because their advantage is 0.
    - `tokens`: tokens that carry loss, of all rows.
    - whatever the objective logs. Where there are several terms: `loss/NAME`, the average of each, unweighted.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        token_budget: int = 16384,
        dtype: torch.dtype | None = None,
        teacher: LanguageModel | None = None,
        with_values: bool = False,
        with_projection: bool = False,
        keep_start: bool = False,
        cast: bool = False,
        checkpointing: bool = False,
        seed: int = 0,
        world: World = ALONE,
    ) -> None:
        """`with_values` adds a value head: a linear layer on the last hidden states, zero at first. `with_projection`
        adds one from there to the width of the teacher's, at first the identity as far as it goes. `keep_start` holds
        a copy of the weights as they are now, for `restart`. `cast` holds weights in bf16 and computes in fp32.
        `checkpointing` saves the memory of activations for another forward pass. The `seed` is that of an adapter's
        dropout. The `world` is who else works at the same steps with parts of the same weights."""
        self.model = model
        self.world = world
        self.token_budget = token_budget
        self.net = model.net
        self.values = nn.Linear(_width(model), 1) if with_values else None
        self.projection = nn.Linear(_width(model), _width(teacher or model), bias=False) if with_projection else None
        if self.values is not None:
            nn.init.zeros_(self.values.weight)
            nn.init.zeros_(self.values.bias)
        if self.projection is not None:
            nn.init.eye_(self.projection.weight)
        heads = {"value": self.values, "projection": self.projection}
        own = nn.ModuleDict({name: head for name, head in heads.items() if head is not None}).to(self.net.device)
        self.masters = Masters(self.net, dtype, own, cast=cast, world=world)
        self.scorer = world.scorer(self.net, checkpointing)
        self.adapted = lora.is_adapted(self.net)
        self.dropout = Key.root(seed).fold("dropout") if lora.drops(self.net) else None
        self.teacher = None if teacher is None else world.scorer(teacher.net)
        self.reference: list[Tensor] | None = None
        self.reference_number = 0
        self.forgotten = 0
        self.start = self.masters.copies() if keep_start else None
        self.gradients: TermGradients | None = None

    @property
    def device(self) -> torch.device:
        return self.masters.flat.device

    def set_reference(self, number: int = 0, *, first: bool = False) -> None:
        """Freeze the present weights, in compute precision, as the reference; once for each number, in rising order.

        `first` takes the weights that `restart` goes back to.
        """
        if self.reference is None or number > self.reference_number:
            weights = self.masters.snapshot()
            if first and self.start is not None:
                weights = [value.to(weight.dtype) for value, weight in zip(self.start, weights, strict=True)]
            self.reference, self.reference_number = weights, number

    def forget(self, number: int) -> None:
        """Let the optimiser's moments begin at zero; once for each number, in rising order from 1."""
        if number > self.forgotten:
            self.masters.forget()
            self.forgotten = number

    def restart(self) -> None:
        """Go back to the weights the learner was made with; the optimiser begins anew."""
        if self.start is None:
            raise BackendError("There is no copy of the first weights to go back to: TorchLearner(keep_start=True).")
        self.masters.reset(self.start)

    def step(
        self,
        batch: Batch,
        objective: Objective | tuple[Term, ...],
        average: Average,
        optimizer: AdamW,
        lr: float,
        *,
        by_term: bool = False,
    ) -> Report:
        """Gradient of the averaged objective, or of the sum of several, over the whole batch; one optimiser step.

        `by_term` adds what `TermGradients` says of each term's own gradient, for another backward pass.
        """
        parts = [Part.of(term, batch) for term in terms(objective, average)]
        needs = {name for part in parts for name in part.objective.needs}
        used = sorted(set().union(*(part.used for part in parts)))
        apart = self._apart(batch, parts) if by_term else {}
        sums = Sums(select(batch, used), parts)
        with self._drawing():
            whole = any(part.objective.whole_groups for part in parts)
            for rows, chosen in self._micro(batch, used, needs, whole=whole):
                scored, micro = self._forward(chosen, needs)
                if not rows:
                    self.masters.gather(scored.logp.sum())
                    continue
                losses = [part.loss(scored.logp, micro) for part in parts]
                loss = torch.stack([part.weight * each for part, each in zip(parts, losses, strict=True)]).sum()
                self.masters.gather(self.world.reaching(loss, scored.logp))
                sums.add(loss, losses, scored, micro, chosen.old_logp.to(self.device))
                # or this micro-batch's logits would stand beside the next one's
                del scored, micro, losses, loss
        self.world.join(sums)
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
            | apart
        )

    def _forward(self, batch: Batch, needs: Collection[str]) -> tuple[Policy, Batch]:
        """What the policy says of a micro-batch, and the micro-batch with all that its objectives need."""
        micro = self._filled(self._to_device(batch), needs)
        scored = self._scored(micro, needs)
        return scored, dataclasses.replace(micro, **scored.fields, old_logp=_known(micro.old_logp, scored.logp))

    def _apart(self, batch: Batch, parts: Sequence[Part]) -> dict[str, float]:
        """Each term's own gradient, unweighted, one after another: the numbers that `TermGradients` makes of them."""
        found: dict[str, Tensor] = {}
        for part in parts:
            needs = part.objective.needs
            for _, chosen in self._micro(batch, sorted(part.used), needs, whole=part.objective.whole_groups):
                scored, micro = self._forward(chosen, needs)
                self.masters.gather(part.loss(scored.logp, micro))
            # terms of one name are one number, as their losses are
            found[part.name] = found.get(part.name, 0.0) + self.masters.taken()
        self.gradients, numbers = TermGradients.after(self.gradients, found)
        return numbers

    def annotate(self, groups: Sequence[Group], needs: Collection[str], *, only_new: bool = False) -> list[Group]:
        """Note down numbers of each token under the present weights: `logp`, `entropy`, `value`, `greedy` (the id that
        is most likely there); `ref_logp`, `teacher_logp`. Of distributions at the temperature that each attempt was
        drawn at. `only_new` passes over attempts that have all of these already."""
        return annotated(self.notes, groups, needs, only_new=only_new)

    def notes(self, batch: Batch, needs: Collection[str]) -> dict[str, Float[Tensor, "N T"]]:
        """What `annotate` notes down, by name; 0 under padding."""
        found = {name: torch.zeros(batch.mask.shape) for name in needs}
        asked = {*needs, "logits"} if "greedy" in needs else needs
        with torch.no_grad():
            for rows, chosen in self._micro(batch, range(len(batch)), asked):
                micro = self._filled(self._to_device(chosen), needs)
                scored = self._scored(micro, asked)
                policy = {"logp": scored.logp, "entropy": scored.entropy, "value": scored.value}
                if (logits := scored.scored.logits) is not None:
                    policy["greedy"] = logits.argmax(dim=2)
                for name, values in found.items() if rows else ():
                    value = policy[name] if name in policy else getattr(micro, name)
                    assert value is not None
                    values[rows, : micro.mask.shape[1]] = value.float().cpu()
        self.world.fill(found)
        return found

    def logp(self, batch: Batch) -> Float[Tensor, "N T"]:
        """Log-probabilities of the batch's tokens under the present weights, without gradient; 0 under padding."""
        out = torch.zeros(batch.mask.shape, dtype=torch.float32)
        with torch.no_grad():
            for rows, chosen in self._micro(batch, range(len(batch))):
                logp = self.scorer(self._to_device(chosen), ()).logp.cpu()
                if rows:
                    out[rows, : logp.shape[1]] = logp
        self.world.fill({"logp": out})
        return out

    def prepare(self, batch: Batch, objective: Objective | tuple[Term, ...]) -> Batch:
        """Fill in what must be the same in every pass over a batch.

        Unknown behaviour log-probabilities are taken under the present weights, the reference's under the reference.
        `step` does both by itself where a batch is gone through once.
        """
        if bool(batch.old_logp.isnan().any()):
            batch = dataclasses.replace(batch, old_logp=_known(batch.old_logp, self.logp(batch)))
        needs = {name for term in terms(objective, None) for name in term.objective.needs}
        if "ref_logp" in needs and batch.ref_logp is None:
            with self.masters.replaced(self._reference()):
                batch = dataclasses.replace(batch, ref_logp=self.logp(batch))
        return batch

    def state(self) -> Tree:
        """Everything an exact continuation needs: masters, moments, step count, reference. Copies."""
        tree = self.masters.state()
        if self.reference is not None:
            tree["reference"] = self.masters.named([value.clone() for value in self.reference])
            tree["optimizer"]["reference"] = torch.tensor(float(self.reference_number))
        if self.forgotten:
            tree["optimizer"]["forgotten"] = torch.tensor(float(self.forgotten))
        if self.gradients is not None:
            tree["gradients"] = dict(self.gradients.latest)
        return tree

    def restore(self, tree: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from what `state` gave, with the same numbers as if there had been no break."""
        self.masters.restore(tree)
        self.forgotten = int(tree["optimizer"].get("forgotten", 0))
        self.reference = None
        if "reference" in tree:
            saved = self.masters.parts(tree["reference"], "reference")
            self.reference = [value.to(weight) for value, weight in zip(saved, self.masters.weights, strict=True)]
            self.reference_number = int(tree["optimizer"]["reference"])
        latest = {name: value.to(self.device) for name, value in tree.get("gradients", {}).items()}
        self.gradients = TermGradients(latest) if latest else None

    def save_model(self, folder: Path) -> None:
        """The fp32 masters as a Hugging Face folder: safetensors, config, generation config, tokenizer. Where an
        adapter is trained, the adapter alone, as peft writes it."""
        masters = dict(zip(self.masters.names[: self.masters.trunk], self.masters.masters, strict=False))
        (lora.save if self.adapted else save_weights)(self.model, masters, folder)

    def _drawing(self) -> AbstractContextManager[None]:
        """Within the block torch draws a dropout that depends on the seed and the step alone."""
        if self.dropout is None:
            return nullcontext()
        return drawn(self.dropout.fold(self.forgotten, int(self.masters.updates[0])))

    def _split(
        self, batch: Batch, rows: Sequence[int], needs: Collection[str] = (), *, whole: bool = False
    ) -> list[list[int]]:
        budget = self.token_budget
        if self.scorer.builds_logits(needs):
            budget = min(budget, _LOGITS // self.scorer.vocabulary)
        together = batch.group.tolist() if whole else None
        if not whole and self.scorer.packs(batch) and budget == self.token_budget:
            # rows that share a prompt share its work where they are together
            together = sharing(batch)
        sizes = [len(prompt) + int(n) for prompt, n in zip(batch.prompts, lengths(batch.mask), strict=True)]
        return self.world.parts({row: sizes[row] for row in rows}, together, budget)

    def _micro(
        self, batch: Batch, rows: Sequence[int], needs: Collection[str] = (), *, whole: bool = False
    ) -> Iterator[tuple[list[int], Batch]]:
        """This process's micro-batches, with their rows; without any, and nothing to learn, where others have more."""
        for part in self._split(batch, rows, needs, whole=whole):
            blank = dataclasses.replace(batch, mask=torch.zeros_like(batch.mask)) if not part else batch
            yield part, select(blank, part or rows[:1])

    def _to_device(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        moved = {
            f.name: value.to(self.device, non_blocking=True)
            for f in dataclasses.fields(batch)
            if isinstance(value := getattr(batch, f.name), Tensor)
        }
        signals = {name: value.to(self.device, non_blocking=True) for name, value in batch.signals.items()}
        return dataclasses.replace(batch, **moved, signals=signals)

    def _scored(self, batch: Batch, needs: Collection[str]) -> "Policy":
        """What the policy says, with gradient."""
        heads = {"value": self.values, "projected": self.projection}
        wanted = {name: head for name, head in heads.items() if name in needs}
        scored = self.scorer(batch, {*needs, "hidden"} if wanted else needs)
        found: dict[str, Tensor] = {}
        for name, head in wanted.items():
            if head is None:
                raise BackendError(f"Something needs `{name}`, and the learner has no {_HEADS[name]}.")
            assert scored.hidden is not None
            found[name] = head(scored.hidden.float())
        value = found["value"][:, :, 0] if "value" in found else None
        return Policy(scored, needs, value, found.get("projected"))

    def _filled(self, batch: Batch, needs: Collection[str]) -> Batch:
        """Add what is needed of the reference and of the teacher, without gradient."""
        for whose in ("ref", "teacher"):
            known = [f"{whose}_logp", f"{whose}_logits", *(["teacher_hidden"] if whose == "teacher" else [])]
            missing = [name for name in known if name in needs and getattr(batch, name) is None]
            if not missing:
                continue
            if whose == "teacher" and self.teacher is None:
                raise BackendError(
                    f"Something needs {missing[0]}, and there is no teacher. Name one: --set teacher=mini"
                )
            scorer = self.teacher if whose == "teacher" and self.teacher is not None else self.scorer
            seen = (
                dataclasses.replace(batch, prompts=batch.teacher_prompts)
                if whose == "teacher" and batch.teacher_prompts
                else batch
            )
            weights = self.masters.replaced(self._reference()) if whose == "ref" else nullcontext()
            with torch.no_grad(), weights:
                scored = scorer(seen, [name.removeprefix(f"{whose}_") for name in missing])
            found = {name: getattr(scored, name.removeprefix(f"{whose}_")) for name in missing}
            batch = dataclasses.replace(batch, **found)
        return batch

    def _reference(self) -> list[Tensor]:
        if self.reference is None:
            self.set_reference()
        assert self.reference is not None
        return self.reference


def _width(model: LanguageModel) -> int:
    return int(model.net.config.get_text_config().hidden_size)


def _known(old_logp: Float[Tensor, "N T"], logp: Float[Tensor, "N T"]) -> Float[Tensor, "N T"]:
    return torch.where(old_logp.isnan(), logp.detach(), old_logp)
