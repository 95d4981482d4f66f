"""Attempts while they grow, in several pieces where a decoder looks at them on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from strop.decoders import Hook, Plain
from strop.episodes import Sampler, Tokenizer
from strop.errors import BackendError, ConfigError
from strop.keys import Key
from strop.records import Finish, Group, Problem, Request, Trajectory
from strop.text import CLOSE


@dataclass(eq=False)
class Chain:
    """One attempt while it grows."""

    problem: Problem
    sample: int
    prompt: Int[np.ndarray, " S"]
    tokens: list[int] = field(default_factory=list)
    """Everything after the prompt, what was inserted included."""
    logp: list[float] = field(default_factory=list)
    """Of each token; NaN where it was inserted."""
    finish: Finish | None = None
    """None while it is unfinished."""
    spent: int = 0
    """Tokens drawn for it, those that were taken back included."""

    @property
    def ids(self) -> Int[np.ndarray, " _"]:
        """What the model reads."""
        if not self.tokens:
            # as the tokenizer made it: a sampler elsewhere may know more of it than its ids
            return self.prompt
        return np.concatenate([self.prompt, np.asarray(self.tokens, dtype=np.int64)])

    def read(self, ids: Sequence[int] | Int[np.ndarray, " T"]) -> None:
        """Insert tokens that the model did not draw."""
        self.tokens += [int(i) for i in ids]
        self.logp += [float("nan")] * len(ids)

    def cut(self, size: int) -> None:
        """Keep the first `size` tokens."""
        del self.tokens[size:], self.logp[size:]

    def fork(self, sample: int) -> "Chain":
        """Another chain that begins like this one, and has spent nothing."""
        return Chain(self.problem, sample, self.prompt, list(self.tokens), list(self.logp), self.finish)

    def trajectory(self, tokenizer: Tokenizer, temperature: float, reward: float = 0.0) -> Trajectory:
        """The attempt as it stands; `reward` is the score it is chosen by."""
        logp = np.array(self.logp, dtype=np.float32)
        return Trajectory(
            problem=self.problem,
            sample=self.sample,
            text=tokenizer.decode(np.asarray(self.tokens, dtype=np.int64)),
            finish=self.finish or "length",
            prompt_tokens=self.prompt,
            tokens=np.asarray(self.tokens, dtype=np.int64),
            mask=~np.isnan(logp),
            logp=logp,
            temperature=temperature,
            reward=reward,
        )


def begin(problems: Sequence[Problem], tokenizer: Tokenizer, samples: int) -> list[Chain]:
    """`samples` empty chains for each problem, problem by problem."""
    prompts = [tokenizer.prompt(problem.prompt) for problem in problems]
    return [
        Chain(problem, sample, prompt)
        for problem, prompt in zip(problems, prompts, strict=True)
        for sample in range(samples)
    ]


def grow(
    chains: Sequence[Chain],
    rooms: Sequence[int],
    *,
    sampler: Sampler,
    episode: Plain,
    key: Key,
    piece: str | int = 0,
    stop: Sequence[int] = (),
    hook: Hook | None = None,
    greedy: bool = False,
) -> list[int]:
    """Continue each chain by at most `rooms[i]` tokens, and say how many were drawn.

    A chain that ends its turn is finished (`stop`), one at the end of the context too (`length`); finished chains and
    those without room stay as they are. Piece 0 has the seeds of a plain attempt; every other piece needs a name.
    """
    tokenizer = sampler.tokenizer
    # chains that read the same share a request, and with it the pass over their prompt
    shared: dict[tuple[bytes, int], list[int]] = {}
    for i, (chain, room) in enumerate(zip(chains, rooms, strict=True)):
        size = len(chain.prompt) + len(chain.tokens)
        if chain.finish is None and size >= sampler.context and chain.tokens:
            chain.finish = "length"
        if chain.finish is None and room > 0:
            shared.setdefault((chain.ids.tobytes(), room), []).append(i)
    members = list(shared.values())
    requests = [
        Request(
            prompt=chains[mine[0]].ids,
            seeds=[seed_of(chains[i], key, piece) for i in mine],
            max_tokens=room,
            temperature=0.0 if greedy else episode.temperature,
            top_p=episode.top_p,
            top_k=episode.top_k,
            stop=tuple(stop),
            hook=hook,
        )
        for (_, room), mine in shared.items()
    ]
    drawn = [0] * len(chains)
    for done in sampler.generate(requests) if requests else ():
        i = members[done.request][done.sample]
        chain = chains[i]
        drawn[i] = len(done.tokens)
        chain.spent += len(done.tokens)
        chain.tokens += done.tokens.tolist()
        chain.logp += done.logp.tolist()
        if chain.tokens[-1] in tokenizer.eos_ids:
            chain.finish = "stop"
    return drawn


def seed_of(chain: Chain, key: Key, piece: str | int) -> int:
    """What the tokens of a piece of a chain are drawn with; of the first one, that of a plain attempt."""
    own = key.fold(chain.problem.id, chain.sample)
    return (own if piece == 0 else own.fold(piece)).uint64()


def closing(tokenizer: Tokenizer) -> int:
    """The id that ends a thought."""
    ids = tokenizer.encode(CLOSE)
    if len(ids) != 1:
        raise BackendError(
            f"The tokenizer has no single token for {CLOSE}, so where a thought ends cannot be found while drawing. "
            "Choose a decoder that looks at whole attempts, such as majority."
        )
    return int(ids[0])


def separators(tokenizer: Tokenizer, candidates: Sequence[str]) -> tuple[int, ...]:
    """Every id whose text contains the first of the candidates that is a token by itself; empty where none is."""
    texts = {i: tokenizer.decode(np.array([i])) for i in sorted(set(tokenizer.vocabulary.values()))}
    known = set(texts.values())
    chosen = next((each for each in candidates if each in known), None)
    return () if chosen is None else tuple(i for i, text in texts.items() if chosen in text)


def require_hooks(sampler: Sampler, decoder: object) -> None:
    """Refuse a sampler that takes no hooks before anything is drawn."""
    if not getattr(sampler, "hooks", False):
        raise BackendError(
            f"{type(decoder).__name__} changes or reads the model's distribution while it draws, which a "
            f"{type(sampler).__name__} does not allow; only the torch sampler does."
        )


def values(reward: Any, attempts: Sequence[Trajectory]) -> Float[np.ndarray, " G"]:
    """What a reward says of attempts at one problem that nobody has judged; what is no number counts as lowest."""
    if hasattr(reward, "init"):
        raise ConfigError(f"{type(reward).__name__} has a memory and belongs to training; name a reward without one.")
    found = np.asarray(reward(Group(attempts[0].problem, tuple(attempts))), dtype=np.float64)
    return np.where(np.isfinite(found), found, -np.inf)


def likelihood(attempt: Trajectory) -> float:
    """exp of the mean log-probability of the tokens it wrote, 0 to 1; 0 where none is known.

    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> written = np.log(np.array([0.5, 0.125], dtype=np.float32))
    >>> round(likelihood(Trajectory(problem=problem, sample=0, text="", logp=written)), 4)
    0.25
    """
    known = np.array([]) if attempt.logp is None else attempt.logp[np.isfinite(attempt.logp)]
    return float(np.exp(known.mean(dtype=np.float64))) if len(known) else 0.0
