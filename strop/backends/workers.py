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

    def __post_init__(self) -> None:
        if self.cluster and self.processes is not None:
            raise ConfigError(
                f"--cluster {self.cluster} and --processes {self.processes} do not go together: on a cluster one actor "
                "has the whole model that is trained. Leave out one of the two."
            )
        if self.samplers < 1:
            raise ConfigError(f"samplers must be at least 1, got {self.samplers}.")

    @classmethod
    def of(cls, processes: int | None, cluster: str | None, samplers: int | None) -> "Workers":
        """What the options of a command ask for, together.

        >>> Workers.of(None, "ray", 2)
        Workers(processes=None, cluster='ray', samplers=2)
        """
        if samplers is not None and not cluster:
            raise ConfigError(f"--samplers {samplers} is about a cluster. Next: --cluster ray --samplers {samplers}")
        return cls(processes, cluster or "", 1 if samplers is None else samplers)


HERE = Workers()
"""This process alone."""
