"""Where a run computes. Imports nothing heavy."""

from dataclasses import dataclass

from strop.errors import ConfigError


@dataclass(frozen=True)
class Workers:
    """This process alone, several that share one model (`backends/fsdp`), or actors on a cluster (`backends/ray`)."""

    processes: int | None = None
    """So many processes share the model; None is this one alone."""
    cluster: str = ""
    """`ray`, `auto` or `HOST:PORT`: a Ray cluster (see `backends.ray.cluster.joined`); empty where there is none."""
    samplers: int = 1
    """Actors that draw, on a cluster."""
    learners: int = 1
    """Actors that share the model that is trained, on a cluster."""

    def __post_init__(self) -> None:
        if self.cluster and self.processes is not None:
            raise ConfigError(
                f"--cluster {self.cluster} and --processes {self.processes} do not go together: on a cluster actors "
                f"share the model. Next: --cluster {self.cluster} --learners {self.processes}"
            )
        for name, number in (("samplers", self.samplers), ("learners", self.learners)):
            if number < 1:
                raise ConfigError(f"{name} must be at least 1, got {number}.")

    @classmethod
    def of(
        cls, processes: int | None, cluster: str | None, samplers: int | None, learners: int | None = None
    ) -> "Workers":
        """What the options of a command ask for, together.

        >>> Workers.of(None, "ray", 2)
        Workers(processes=None, cluster='ray', samplers=2, learners=1)
        """
        for name, number in (("samplers", samplers), ("learners", learners)):
            if number is not None and not cluster:
                raise ConfigError(f"--{name} {number} is about a cluster. Next: --cluster ray --{name} {number}")
        return cls(processes, cluster or "", samplers or 1, learners or 1)


HERE = Workers()
"""This process alone."""
