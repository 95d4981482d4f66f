"""What a run runs on: a task, a sampler, a learner that share one model, and judges. Opened once, closed at the end."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from strop.backends.workers import HERE, Workers
from strop.episodes import Sampler, replays
from strop.errors import ConfigError
from strop.recipe import LoRA, Recipe, Stage
from strop.tasks import Task
from strop.text import is_address
from strop.verifiers import JudgePool, Verifier, rule_of

if TYPE_CHECKING:
    from strop.backends.torch.learner import TorchLearner
    from strop.backends.torch.world import World
    from strop.models.language_model import LanguageModel

FROM_SCRATCH = "scratch:"
"""`scratch:nano` is a model of that size with random weights and a tokenizer made from the task's own texts;
`scratch:vision` is one that sees images."""
VLLM = "vllm"
"""The sampler that draws with vLLM in this process."""
SELF = "self"
"""The teacher that is the policy itself, at each moment, where it reads more than the policy does."""


@dataclass(frozen=True)
class Engine:
    """The heavy objects of a run."""

    task: Task
    sampler: Sampler
    learner: "TorchLearner"
    judges: dict[Verifier | None, JudgePool] = field(default_factory=dict)
    own: Sampler | None = None
    """Samples from the weights that are trained, where `sampler` does not."""

    @property
    def policy(self) -> Sampler:
        """What samples from the weights that are trained."""
        return self.own or self.sampler

    def judge(self, verifier: Verifier | None = None) -> JudgePool:
        """Judges by `verifier`; without one by the task itself, or by the verifier the task names."""
        if verifier not in self.judges:
            self.judges[verifier] = JudgePool(verifier or rule_of(self.task))
        return self.judges[verifier]

    def refer(self, stage: Stage) -> None:
        """Freeze the reference the stage compares with, where it does and there is none yet, and let the optimiser
        forget where the stage says so."""
        self.learner.forget(stage.forget)
        if stage.needs & {"ref_logp", "ref_logits"}:
            self.learner.set_reference(stage.reference, first=stage.restart)

    def save_model(self, folder: Path) -> None:
        """The present weights as a Hugging Face folder."""
        self.learner.save_model(folder)


@contextmanager
def open_engine(recipe: Recipe, workers: Workers = HERE) -> Generator[Engine, None, None]:
    """Load the model, check that the recipe's data fits it, and build sampler and learner around it; where there are
    other `workers`, in them, with this process to lead."""
    if workers.cluster:
        from strop.backends.ray.lead import open_cluster

        with open_cluster(recipe, workers) as engine:
            yield engine
        return
    if workers.processes is not None:
        from strop.backends.fsdp.lead import open_team

        with open_team(recipe, workers.processes) as engine:
            yield engine
        return
    from strop.backends.torch.sampler import TorchSampler
    from strop.lint import lint
    from strop.models.language_model import placed
    from strop.planning.afford import afford

    afford(recipe)
    model = placed(open_model(recipe))
    lint(recipe, model.tokenizer, model.context)
    teacher = open_teacher(recipe, model)
    teacher = None if teacher is None else placed(teacher)
    learner = make_learner(recipe, model, teacher)
    second = (
        TorchSampler(teacher, slots=recipe.slots, precision=recipe.precision) if teacher else served_teacher(recipe)
    )
    with writer(recipe, model, second) as (sampler, own):
        engine = Engine(recipe.task, sampler, learner, own=own)
        try:
            yield engine
        finally:
            for judge in engine.judges.values():
                judge.close()


def make_learner(
    recipe: Recipe, model: "LanguageModel", teacher: "LanguageModel | None", world: "World | None" = None
) -> "TorchLearner":
    """The learner that a recipe asks for; of a divided model the `world` says who has what, and in which precision."""
    from strop.backends.torch.learner import TorchLearner
    from strop.backends.torch.precision import resolve
    from strop.backends.torch.world import ALONE

    return TorchLearner(
        model,
        token_budget=recipe.token_budget,
        dtype=resolve(recipe.precision, model.net.device) if world is None else None,
        cast=recipe.precision == "layercast",
        checkpointing=recipe.gradient_checkpointing,
        seed=recipe.seed,
        teacher=teacher,
        with_values=any("value" in stage.needs for stage in recipe.stages),
        with_projection=any("projected" in stage.needs for stage in recipe.stages),
        keep_start=any(stage.restart for stage in recipe.stages),
        world=world or ALONE,
    )


def open_model(recipe: Recipe) -> "LanguageModel":
    """The recipe's model, its weights in fp32; under an adapter in what the recipe computes in."""
    from strop.models import language_model

    if recipe.adapter is not None:
        return _open_adapted(recipe, recipe.adapter)
    if not recipe.model.startswith(FROM_SCRATCH):
        return language_model.load(recipe.model)
    from strop.models import nano
    from strop.models.chat_tokenizer import ChatTokenizer

    if recipe.model == f"{FROM_SCRATCH}vision":
        from strop.models import small_vision

        # a task that draws pictures takes its time over each problem, and has few words
        return small_vision.initialise(recipe.seed, nano.tokenizer(_sample_texts(recipe.task, problems=200)))
    words = nano.tokenizer(_sample_texts(recipe.task))
    shape = nano.config(recipe.model.removeprefix(FROM_SCRATCH), words)
    return language_model.initialise(shape, seed=recipe.seed, tokenizer=ChatTokenizer(words))


def _open_adapted(recipe: Recipe, adapter: LoRA) -> "LanguageModel":
    import torch

    from strop.backends.torch.precision import resolve
    from strop.models import language_model, lora

    if recipe.model.startswith(FROM_SCRATCH):
        raise ConfigError(
            f"An adapter needs a trained model below it, and {recipe.model} has random weights. "
            "Next: --set adapter=null, or --model nano"
        )
    # where it will compute, wherever it is loaded
    half = recipe.precision != "layercast" and resolve(recipe.precision, language_model.accelerator()) == torch.bfloat16
    model = language_model.load(recipe.model, "bf16" if half else "fp32")
    lora.adapt(model, adapter, recipe.seed)
    return model


def open_teacher(recipe: Recipe, model: "LanguageModel") -> "LanguageModel | None":
    """The recipe's teacher, where it has one: another model, or the model itself, which then learns with the policy."""
    from strop.models import language_model

    if recipe.teacher in ("", SELF) or is_address(recipe.teacher):
        return model if recipe.teacher == SELF else None
    teacher = language_model.load(recipe.teacher)
    if _compares(recipe) and teacher.tokenizer.vocabulary != model.tokenizer.vocabulary:
        raise ConfigError(
            f"Teacher {recipe.teacher} and model {recipe.model} have different tokenizers: their distributions cannot "
            "be compared. Take a teacher of the same family, or learn from what it writes: strop run seq_kd."
        )
    return teacher


def served_teacher(recipe: Recipe) -> Sampler | None:
    """The recipe's teacher where it is on a server: it writes, and nobody here knows its distributions."""
    if not is_address(recipe.teacher):
        return None
    from strop.backends.http import open_sampler

    if _compares(recipe):
        raise ConfigError(
            f"{recipe.name} compares distributions with its teacher, and a server gives none: {recipe.teacher}. Learn "
            f"from what it writes: strop run seq_kd --set teacher={recipe.teacher}"
        )
    return open_sampler(recipe.teacher)


@contextmanager
def writer(
    recipe: Recipe, model: "LanguageModel", teacher: Sampler | None
) -> Generator[tuple[Sampler, Sampler | None], None, None]:
    """Who writes the attempts, and who samples from the trained weights where that is another: `torch` and `vllm` have
    these weights, a server is somebody else where the recipe corrects for it."""
    from strop.backends.torch.sampler import TorchSampler

    if recipe.sampler == VLLM:
        from strop.backends.vllm import VllmSampler

        engine = VllmSampler(model, slots=recipe.slots, precision=recipe.precision, teacher=teacher)
        with closing(engine) as sampler:
            yield sampler, None
        return
    policy = TorchSampler(model, slots=recipe.slots, precision=recipe.precision, teacher=teacher)
    yield (served_sampler(recipe, policy), policy) if recipe.sampler else (policy, None)


def served_sampler(recipe: Recipe, policy: Sampler) -> Sampler:
    """A server that writes the attempts, where the recipe corrects for its not being the policy."""
    from strop.backends.http import open_sampler
    from strop.lint import corrects

    if not is_address(recipe.sampler):
        raise ConfigError(
            f"sampler must be {VLLM}, or the address of a server, such as http://127.0.0.1:8000/v1#NAME, got "
            f"{recipe.sampler!r}; the model that is trained is --model."
        )
    for number, stage in enumerate(recipe.stages):
        where = f"stages.{number}"
        if replays(stage.episode) or getattr(stage.episode, "origin", "") == "teacher":
            raise ConfigError(
                f"{where} learns from data or from a teacher, so there is nothing for the sampler {recipe.sampler} to "
                f"do. Leave out --sampler; a teacher on a server is --set teacher={recipe.sampler}"
            )
        if not corrects(stage):
            raise ConfigError(
                f"{where} learns from its own attempts, and the weights at {recipe.sampler} do not follow what it "
                "learns: from the second step on they would be another model's, taken for its own. Weigh tokens by "
                f"their importance (--set {where}.objective=truncated_importance), or take the server for what it is, "
                f"a teacher: strop run seq_kd --set teacher={recipe.sampler}"
            )
    return open_sampler(recipe.sampler, tokenizer=policy.tokenizer, exact=True, context=policy.context,
                        teacher=policy.teacher)  # fmt: skip


def _compares(recipe: Recipe) -> bool:
    """Whether teacher and policy are compared token by token."""
    return any(name.startswith("teacher_") for stage in recipe.stages for name in stage.needs)


def _sample_texts(task: Task, problems: int = 4000) -> Iterator[str]:
    """Prompts, hints and responses in every style, for the tokenizer to count words in."""
    from strop.keys import Key
    from strop.tasks import HINTS, STYLES

    for index in range(problems):
        problem = task.problem("vocabulary", index)
        for style in STYLES:
            yield HINTS[style]
            yield problem.question
            yield task.write(problem, style, Key.root(index).fold(style), 0.1) or ""
