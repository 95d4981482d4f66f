"""A net whose weights are divided over processes, layer by layer, and a learner's work with it."""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from strop.backends.fsdp.team import Team
from strop.backends.torch.logprobs import Scored, Scorer
from strop.backends.torch.losses import Sums
from strop.backends.torch.splitting import dealt, micro_batches
from strop.backends.torch.world import Scoring
from strop.errors import BackendError
from strop.records import Batch


class Sharded:
    """What `backends.torch.world.World` asks for, where every process holds a part of each weight, in fp32."""

    def __init__(self, team: Team, net: PreTrainedModel, dtype: torch.dtype) -> None:
        """Divides the net, in place; from now on it computes in `dtype`, and only when all processes do."""
        scalar = next((name for name, weight in net.named_parameters() if weight.ndim == 0), None)
        if scalar is not None:
            raise BackendError(
                f"The weight {scalar} is a single number, and those cannot be divided. Leave out --processes, or "
                "--learners."
            )
        self.team = team
        self.net = net
        self.root = _Root(net)
        policy = MixedPrecisionPolicy(
            param_dtype=None if dtype == torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        for layer in _layers(net):
            fully_shard(layer, mesh=team.mesh, mp_policy=policy)
        fully_shard(self.root, mesh=team.mesh, mp_policy=policy, reshard_after_forward=False)
        for module in self.root.modules():
            if isinstance(module, FSDPModule):
                # losses are divided by counts of the whole batch already: gradients are added, not averaged
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        self.divided = {name: weight for name, weight in net.named_parameters() if isinstance(weight, DTensor)}
        self.trained: list[Tensor] = []

    def held(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.trained = list(weights.values())
        return {name: _local(w) if isinstance(w, DTensor) else w for name, w in weights.items()}

    def scorer(self, net: PreTrainedModel, checkpointing: bool = False) -> Scoring:
        if net is not self.net:
            return Scorer(net, checkpointing)
        self.root.scorer.checkpointing |= checkpointing
        return ShardedScorer(self.root)

    def parts(self, sizes: Mapping[int, int], together: Sequence[int] | None, budget: int) -> list[list[int]]:
        hands = dealt(sizes, together, self.team.size)
        found = [micro_batches({row: sizes[row] for row in hand}, together, budget) for hand in hands]
        own = found[self.team.rank]
        return own + [[]] * (max(map(len, found)) - len(own))

    def reaching(self, loss: Tensor, logp: Tensor) -> Tensor:
        return loss + logp[:0].sum()

    def gather(self, loss: Tensor, weights: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
        for weight, grad in zip(self.trained, grads, strict=True):
            if weight.grad is None:
                # added to in place from now on, by FSDP and by autograd
                weight.grad = _like(weight, grad) if isinstance(weight, DTensor) else grad
        loss.backward()

    def norm(self, flat: Tensor, heads: int) -> float:
        if heads < len(flat):
            dist.all_reduce(flat[heads:])
        square = torch.linalg.vector_norm(flat[:heads]).double().square()
        dist.all_reduce(square)
        return float((square + torch.linalg.vector_norm(flat[heads:]).double().square()).sqrt())

    @contextmanager
    def replaced(self, weights: Sequence[Tensor], values: Sequence[Tensor]) -> Generator[None, None, None]:
        own = [weight.detach().clone() for weight in weights]
        self._take(weights, values)
        try:
            yield
        finally:
            self._take(weights, own)

    @torch.no_grad()
    def _take(self, weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)

    def whole(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, value in values.items():
            full = self._whole(self.divided[name], value) if name in self.divided else value.detach().cpu()
            if full is not None:
                found[name] = full
        return found if self.team.leads else {}

    def _whole(self, weight: DTensor, part: Tensor) -> Tensor | None:
        """One weight on the CPU of the process that leads."""
        rows = -(-weight.shape[0] // self.team.size)
        sent = part.new_zeros((rows, *weight.shape[1:]), device="cpu")
        sent[: len(part)] = part
        parts = [torch.empty_like(sent) for _ in range(self.team.size)] if self.team.leads else None
        dist.gather(sent, parts, 0, group=self.team.words)
        return torch.cat(parts)[: weight.shape[0]] if parts else None

    def part(self, name: str, value: Tensor) -> Tensor:
        full = value.cpu().contiguous() if self.team.leads else torch.empty(value.shape, dtype=value.dtype)
        dist.broadcast(full, 0, group=self.team.words)
        if name not in self.divided:
            return full.to(self.team.device)
        rows = -(-full.shape[0] // self.team.size)
        return full[rows * self.team.rank :][:rows].to(self.team.device)

    def join(self, sums: Sums) -> None:
        own = {name: getattr(sums, name) for name in _SUMS}
        for other in self.team.collected(own)[1:]:
            sums.take(**other)

    def fill(self, tables: Mapping[str, Tensor]) -> None:
        self.team.add(tables)

    @torch.no_grad()
    def write(self, net: nn.Module) -> None:
        """Write the trained weights as they are now into a whole copy of the net, in its precision."""
        copies = dict(net.named_parameters())
        for name, weight in self.divided.items():
            if weight.requires_grad:
                part: Any = weight.detach().to(copies[name].dtype)
                copies[name].copy_(part.full_tensor())


_SUMS = ("loss", "losses", "totals", "tokens", "mismatch", "known", "max_ratio")


class ShardedScorer:
    """A `Scorer` of a divided net."""

    def __init__(self, root: "_Root") -> None:
        self.root = root

    def packs(self, batch: Batch) -> bool:
        return False

    @property
    def vocabulary(self) -> int:
        return self.root.scorer.vocabulary

    def builds_logits(self, needs: Collection[str]) -> bool:
        return self.root.scorer.builds_logits(needs)

    def __call__(self, batch: Batch, needs: Collection[str]) -> Scored:
        found = Scored(*self.root(batch, needs))
        if not torch.is_grad_enabled():
            # nobody comes back for them, and they may change before the next pass
            reshard: Any = self.root.reshard
            reshard()
        return found


class _Root(nn.Module):
    """What FSDP takes for the whole model: here the log-probabilities are computed too, as they need the output layer's
    weight."""

    def __init__(self, net: PreTrainedModel) -> None:
        super().__init__()
        self.scorer = Scorer(net)
        # its own way through the layers would pass FSDP's by
        self.scorer.packed = None
        self.net = net

    def forward(self, batch: Batch, needs: Collection[str]) -> tuple[Tensor | None, ...]:
        scored = self.scorer(batch, needs)
        return scored.logp, scored.entropy, scored.logits, scored.hidden


def _layers(net: PreTrainedModel) -> list[nn.Module]:
    """What is gathered and let go together: the layers that transformers says must not be split, outermost first."""
    whole: Any = getattr(net, "_no_split_modules", None)
    names: set[str] = set(whole or ())
    found = {path: module for path, module in net.named_modules() if type(module).__name__ in names}
    return [m for path, m in found.items() if not any(path.startswith(f"{other}.") for other in found)]


def _local(weight: DTensor) -> Tensor:
    """This process's part, in the memory that FSDP gathers from."""
    detached: Any = weight.detach()
    return detached.to_local()


def _like(weight: DTensor, part: Tensor) -> DTensor:
    return DTensor.from_local(
        part, weight.device_mesh, weight.placements, run_check=False, shape=weight.shape, stride=weight.stride()
    )
