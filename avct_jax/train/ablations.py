"""Table 2 of Wang et al., AAAI 2022: the system with one thing taken away."""

import dataclasses
from collections.abc import Callable

from avct_jax.models import system_config
from avct_jax.train.stages import avct_stage

Change = Callable[
    [system_config.SystemConfig, avct_stage.AVCTStageConfig],
    tuple[system_config.SystemConfig, avct_stage.AVCTStageConfig],
]


def _without(part: str, **switches) -> Change:
    """Other switches in the system's E_avct, or in the stage."""

    def change(
        system: system_config.SystemConfig, config: avct_stage.AVCTStageConfig
    ) -> tuple[system_config.SystemConfig, avct_stage.AVCTStageConfig]:
        if part == "stage":
            return system, dataclasses.replace(config, **switches)
        return dataclasses.replace(system, avct=dataclasses.replace(system.avct, **switches)), config

    return change


# Each makes another (system, config) of those of the whole system.
ABLATIONS: dict[str, Change] = {
    "without-phonemes": _without("avct", phonemes=False),
    "without-audio": _without("avct", audio=False),
    "without-keypoint-features": _without("avct", reference="none"),
    "image-instead-of-keypoint-features": _without("avct", reference="image"),
    "without-discriminators": _without("stage", gan=0.0, matching=0.0, sync=0.0),
    "without-sync-discriminator": _without("stage", sync=0.0),
}
