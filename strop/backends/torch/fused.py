"""A decoding step of the usual decoder layout in a third of the operations that the model's own modules need."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from strop.backends.torch.attention import one_token
from strop.backends.torch.cache import RowCache
from strop.models.dense import SMALL, dense, size


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Weights of a decoder layer, those that read the same input joined, the norm before them folded in."""

    inputs: Float[Tensor, "QKV H"]
    input_bias: Float[Tensor, " QKV"] | None
    head_norm: Float[Tensor, "QK D"] | None
    """Scale of each normalised query and key head, attention's own scaling of queries included."""
    output: Float[Tensor, "H QD"]
    output_bias: Float[Tensor, " H"] | None
    gate_up: Float[Tensor, "GU H"]
    down: Float[Tensor, "H I"]


class FusedStep:
    """One token for every row of a `RowCache`, for decoders with RMS norms, rotary positions and a gated MLP.

    On small models most of a step's time is the cost of starting operations and of passes over small tensors. Here,
    projections of the same input are one product, norm weights are folded into the product after them, and the residual
    stream stays in fp32 whatever the products are computed in. Nothing is assumed about an architecture by its name:
    `of` returns `None` where modules are missing or of other types, and `fits` compares the numbers.
    """

    def __init__(self, net: PreTrainedModel, dtype: torch.dtype) -> None:
        decoder: Any = net.get_decoder()
        first = decoder.layers[0]
        attention = first.self_attn
        self.dtype = dtype
        self.size: int = attention.head_dim
        self.queries = attention.q_proj.out_features // self.size
        self.keys = attention.k_proj.out_features // self.size
        self.rotary = decoder.rotary_emb
        self.act = first.mlp.act_fn
        self.eps = torch.tensor(_eps(decoder.norm), device=net.device)
        self.embedding = _linear(decoder.embed_tokens).float()
        self.head = (_linear(net.get_output_embeddings()).float() * decoder.norm.weight.float()).to(dtype)
        self.layers = [self._layer(layer) for layer in decoder.layers]

    @classmethod
    def of(cls, net: PreTrainedModel, dtype: torch.dtype) -> "FusedStep | None":
        """The step with the weights as they are now; `None` for a model that is not laid out like this."""
        # above this a step is bound by its matrix products: not worth a second copy of the weights
        if size(net) > SMALL:
            return None
        # hooks change what modules compute, and would be passed over
        if any(m._forward_hooks or m._forward_pre_hooks for m in net.modules()):  # pyright: ignore[reportPrivateUsage]
            return None
        with torch.no_grad():
            try:
                return cls(net, dtype)
            except (AttributeError, TypeError):
                return None

    def __call__(
        self, ids: Int[Tensor, "N 1"], positions: Int[Tensor, "N 1"], mask: Float[Tensor, "N 1 1 C"], cache: RowCache
    ) -> Float[Tensor, "N V"]:
        """Logits after one more token of every row."""
        rows, both, half = len(ids), self.queries + self.keys, self.size // 2
        x = F.embedding(ids[:, 0], self.embedding)
        cos, sin = (table[..., :half].float() for table in self.rotary(x[:, None], positions))
        for index, layer in enumerate(self.layers):
            heads = F.linear(self._normed(x), layer.inputs, layer.input_bias).float().view(rows, -1, self.size)
            turning = heads[:, :both]
            if layer.head_norm is not None:
                turning = (turning * self._rms(turning)).mul_(layer.head_norm)
            left, right = turning[..., :half], turning[..., half:]
            turned = torch.empty(rows, both, self.size, device=x.device)
            torch.mul(left, cos, out=turned[..., :half]).addcmul_(right, sin, value=-1)
            torch.mul(right, cos, out=turned[..., half:]).addcmul_(left, sin)
            keys, values = cache.update(turned[:, self.queries :, None], heads[:, both:, None], index)
            mixed = one_token(turned[:, : self.queries], keys, values, mask[:, 0]).reshape(rows, -1)
            x.add_(F.linear(mixed.to(self.dtype), layer.output, layer.output_bias))
            gate, up = F.linear(self._normed(x), layer.gate_up).chunk(2, dim=-1)
            x.add_(F.linear(self.act(gate).mul_(up), layer.down))
        return F.linear(self._normed(x), self.head)

    def _rms(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return torch.addcmul(self.eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()

    def _normed(self, x: Tensor) -> Tensor:
        return (x * self._rms(x)).to(self.dtype)

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        if type(layer).__name__ != type(attention).__name__.removesuffix("Attention") + "DecoderLayer":
            raise TypeError("a layer that wraps another")
        scale = attention.scaling
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        before, between = layer.input_layernorm.weight.float(), layer.post_attention_layernorm.weight.float()
        weights = [_linear(part).float() * before for part in parts]
        biases = [None if part.bias is None else part.bias.float() for part in parts]
        norms: list[Any] = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        head_norm = None
        if norms[0] is not None and norms[1] is not None:
            counts = (self.queries, self.keys)
            head_norm = torch.cat([n.weight.float().expand(c, self.size) for n, c in zip(norms, counts, strict=True)])
            head_norm[: self.queries] *= scale
        else:
            weights[0] = weights[0] * scale
            biases[0] = None if biases[0] is None else biases[0] * scale
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, *(n for n in norms if n is not None)):
            if _eps(norm) != float(self.eps):
                raise TypeError("norms differ in epsilon")
        if any(part.bias is not None for part in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)):
            raise TypeError("an MLP with biases")
        joined = None if biases[0] is None else torch.cat([b for b in biases if b is not None]).to(self.dtype)
        return _Layer(
            inputs=torch.cat(weights).to(self.dtype),
            input_bias=joined,
            head_norm=head_norm,
            output=_linear(attention.o_proj).to(self.dtype),
            output_bias=None if attention.o_proj.bias is None else attention.o_proj.bias.to(self.dtype),
            gate_up=(torch.cat([_linear(mlp.gate_proj), _linear(mlp.up_proj)]).float() * between).to(self.dtype),
            down=_linear(mlp.down_proj).to(self.dtype),
        )


def _linear(module: Any) -> Tensor:
    return dense(module).detach()


def _eps(norm: Any) -> float:
    return float(torch.tensor(norm.variance_epsilon))
