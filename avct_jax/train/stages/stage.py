"""What the loop needs to know of a stage, whichever it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

from avct_jax.train.core import train_state

Metrics = dict[str, Array]
Step = Callable[[train_state.TrainState, Any, Any, Array], tuple[train_state.TrainState, Metrics]]


class Stage(NamedTuple):
    """One of the four trainings: pure functions, not yet compiled, and what they begin with.

    name: renderer, sync, avct or head-motion. kind: of the batches it draws (batch_types.py KINDS).
    step: (state, frozen, batch, key) -> (state, metrics); every metric a float32 scalar.
    judge: (state, frozen, batch, key) -> metrics of the averaged networks on a batch; nothing is learned.
    image: (state, frozen, batch) -> images by name, each (n, h, w, 3) float in [0, 1] with the same n, in
      the order in which a contact sheet shows them; None for a stage without images.
    initial: () -> state at step 0; may be called under jax.eval_shape or jit.
    frozen: networks that are not trained; always an argument, never closed over.
    export: state -> averaged variables by part of the system ("keypoint_detector", "renderer", "avct",
      "head_motion", "sync_discriminator", "patch_discriminator").
    """

    name: str
    kind: str
    step: Step
    eval_step: Callable[[train_state.TrainState, Any, Any, Array], Metrics]
    image: Callable[[train_state.TrainState, Any, Any], dict[str, Array]] | None
    initial: Callable[[], train_state.TrainState]
    frozen: Any
    export: Callable[[train_state.TrainState], dict[str, Any]]
