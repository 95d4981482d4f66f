"""Rewards relative to their group."""

from typing import Annotated, Literal

from pydantic import Field

from strop.advantages._groups import centre
from strop.piece import piece
from strop.records import Float, np


@piece
class GroupNorm:
    r"""Each reward minus the mean of its group, divided by the standard deviation of its group.

    .. math:: A_i = \frac{r_i - \bar r}{\sigma_r + \epsilon}

    Source: GRPO (arXiv:2402.03300, section 4.1.2); `std="none"` is Dr. GRPO (arXiv:2503.20783, section 3.2).

    Departures: the paper does not say which deviation; `sample` (divide by G-1) is what published implementations
    compute. A group of one has nothing to compare with and gets 0; so does a group whose rewards are all equal.

    >>> GroupNorm(eps=0.0)(np.array([[1.0, 0.0, 0.0, 0.0]])).round(3).tolist()
    [[1.5, -0.5, -0.5, -0.5]]
    >>> GroupNorm(std="population", eps=0.0)(np.array([[1.0, 0.0, 0.0, 0.0]])).round(3).tolist()
    [[1.732, -0.577, -0.577, -0.577]]
    >>> GroupNorm(std="none")(np.array([[1.0, 0.0, np.nan]])).tolist()
    [[0.5, -0.5, nan]]
    """

    std: Literal["sample", "population", "none"] = "sample"
    """Divide by the deviation with G-1 (`sample`), with G (`population`), or not at all (`none`)."""
    eps: Annotated[float, Field(ge=0)] = 1e-6
    """Added to the deviation; same unit as the reward."""

    def __call__(self, rewards: Float[np.ndarray, "P G"]) -> Float[np.ndarray, "P G"]:
        centred, present = centre(rewards)
        if self.std == "none":
            return centred
        divisor = np.maximum(present - (self.std == "sample"), 1)
        deviation = np.sqrt(np.nansum(centred**2, axis=1, keepdims=True) / divisor)
        return centred / np.where(deviation > 0, deviation + self.eps, 1.0)
