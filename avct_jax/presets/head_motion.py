"""Presets of `avct train head-motion`: E_h."""

from avct_jax.data.dataset import batch_types
from avct_jax.models import system_config
from avct_jax.train import run
from avct_jax.train.core import optimizer
from avct_jax.train.stages import head_motion_stage

PAPER = run.HeadMotionTraining(
    steps=50_000,
    batch_size=32,
    save_every=1000,
    eval_every=1000,
    image_every=5000,
    stage=head_motion_stage.HeadMotionStageConfig(),
    optimizer=optimizer.OptimizerConfig(
        learning_rate=1e-4, betas=(0.9, 0.999), schedule="constant", clip=0.0
    ),
    draw=batch_types.DrawConfig(speaker="", pose_frames=64),
    system=system_config.PAPER,
)
"""The paper's: L1 of the poses, and once more of the first.

avct train head-motion --preset paper --clips DIR --run DIR
Not yet reproduced.
"""

LITE = run.HeadMotionTraining(
    steps=600,
    batch_size=8,
    save_every=100,
    eval_every=100,
    image_every=300,
    stage=head_motion_stage.HeadMotionStageConfig(
        speed=5.0, shift=0.3, turn=0.25, noise=0.15, ema_decay=0.995
    ),
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=30, betas=(0.9, 0.999), clip=1.0, final_share=0.02
    ),
    draw=batch_types.DrawConfig(speaker="", pose_frames=64),
    system=system_config.LITE,
)
"""The embedded size.

avct train head-motion --preset lite --clips DIR --run DIR
600 steps, 3 minutes on 2 busy CPU cores, gave the embedded checkpoint's head.
"""

TINY = run.HeadMotionTraining(
    steps=8,
    batch_size=8,
    report_every=1,
    save_every=2,
    eval_every=4,
    eval_batches=1,
    image_every=4,
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    draw=batch_types.DrawConfig(speaker="", pose_frames=16),
    system=system_config.TINY,
)
"""A minute on a CPU, most of it the first start's compiling; for trying, and tests; learns nothing of use."""
