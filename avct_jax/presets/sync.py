"""Presets of `avct train sync`: D_sync."""

from avct_jax.data.dataset import batch_types
from avct_jax.models import sync_discriminator, system_config
from avct_jax.train import run
from avct_jax.train.core import optimizer
from avct_jax.train.stages import sync_stage

PAPER = run.SyncTraining(
    steps=200_000,
    batch_size=64,
    save_every=1000,
    eval_every=1000,
    image_every=1000,
    stage=sync_stage.SyncStageConfig(),
    optimizer=optimizer.OptimizerConfig(
        learning_rate=1e-4, betas=(0.9, 0.999), schedule="constant", clip=0.0
    ),
    draw=batch_types.DrawConfig(speaker=""),
    system=system_config.PAPER,
)
"""Wav2Lip's SyncNet at its released size, with the measures that keep it from sticking at .69.

avct train sync --preset paper --clips DIR --run DIR
Not yet reproduced.
"""

LITE = run.SyncTraining(
    steps=3000,
    batch_size=32,
    save_every=250,
    eval_every=250,
    image_every=500,
    stage=sync_stage.SyncStageConfig(
        discriminator=sync_discriminator.SyncDiscriminatorConfig(width=0.25), easy_steps=1000, ema_decay=0.998
    ),
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, warmup=100, betas=(0.9, 0.999)),
    draw=batch_types.DrawConfig(speaker="", image_size=128, speaker_prob=1.0),
    system=system_config.LITE,
)
"""A quarter of the channels, on 128 px, the speaker alone: with other people in a batch, the contrastive term
learns at first whose voice a mouth has, which is no sync.

avct train sync --preset lite --clips DIR --run DIR
As a run of 1500 steps, half an hour on 2 busy CPU cores: held-out cross-entropy .49, accuracy .80.
"""

TINY = run.SyncTraining(
    steps=8,
    batch_size=8,
    report_every=1,
    save_every=2,
    eval_every=4,
    eval_batches=1,
    image_every=4,
    stage=sync_stage.SyncStageConfig(
        discriminator=sync_discriminator.SyncDiscriminatorConfig(width=0.0625, residual=False), easy_steps=4
    ),
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    draw=batch_types.DrawConfig(speaker="", image_size=64),
    system=system_config.TINY,
)
"""A minute on a CPU, most of it the first start's compiling; for trying, and tests; learns nothing of use."""
