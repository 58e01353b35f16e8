"""Options of work that many machines share: which part is one's own, and who does it."""

import contextlib
import dataclasses
from typing import Annotated, Any, Optional

from avct_jax.cli import option


def _amount(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) < float("inf"):
            return value
    raise ValueError(f"{text!r} must be a number, 0 or more")


Amount = Annotated[Optional[float], option.read_by(_amount), option.shown_as("N")]  # noqa: UP045


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Over machines that share a folder.

    Attributes:
      shard: do this part alone, such as 2/8; auto: as a SLURM job array says; auto/N: the number as SLURM or
        an indexed Kubernetes job says. In the end the command without --shard puts all together
      engine: who works: local processes, or ray: actors on the machines of RAY_ADDRESS, else here; ray://auto:
        of the cluster that runs here; ray://HOST:10001: of one elsewhere
      worker_cpus: cores that each of Ray's actors takes (default: 1)
      worker_gpus: GPUs that each of Ray's actors takes, .5 for half of one (default: 0)
    """

    shard: Annotated[option.MaybeText, option.shown_as("I/N|auto|auto/N")] = None
    engine: Annotated[str, option.shown_as("local|ray[://ADDRESS]")] = "local"
    worker_cpus: Amount = None
    worker_gpus: Amount = None

    def part(self) -> Any:
        """The part of the work.

        Raises:
          UserError: it is none.
        """
        from avct_jax.workers import shard

        return shard.parse(self.shard)

    def by(self) -> Any:
        """Who works.

        Raises:
          UserError: there is no such engine, or Ray is not installed.
        """
        from avct_jax.workers import engine

        found = engine.parse(self.engine, cpus=self.worker_cpus, gpus=self.worker_gpus)
        found.pool()
        return found
