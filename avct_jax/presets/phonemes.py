"""Presets of `avct train phonemes`: the phoneme network of the mesh."""

import dataclasses

from avct_jax.models import mesh_system
from avct_jax.models.mesh import phoneme_net
from avct_jax.train import mesh_run
from avct_jax.train.core import optimizer
from avct_jax.train.mesh_stages import phoneme_stage

LITE = mesh_run.PhonemeTraining(
    steps=1600,
    batch_size=24,
    save_every=200,
    eval_every=200,
    image_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=100, betas=(0.9, 0.99), weight_decay=1e-2, clip=1.0
    ),
    speaker_prob=0.3,
    recordings_share=0.25,
)
"""First: throats and rooms vary much.

avct train phonemes --preset lite --clips DIR --run FIRST --recordings DIR
1600 steps, 25 minutes on a quarter of a CPU core: divergence .914 on people never heard, .220 on the
speaker's clips kept apart.
"""

LAST = dataclasses.replace(
    LITE,
    steps=700,
    save_every=100,
    eval_every=100,
    optimizer=dataclasses.replace(LITE.optimizer, learning_rate=1.5e-3),
    stage=phoneme_stage.PhonemeStageConfig(bands=0.2, tract=0.08, hidden=0.05),
    system=mesh_system.MeshSystemConfig(phoneme_net=phoneme_net.PhonemeNetConfig(dropout=0.05)),
)
"""Then: less.

avct train phonemes --preset last --clips DIR --run DIR --recordings DIR --init FIRST/phonemes.safetensors
700 steps, 8 minutes: divergence .950 and .201, mean square of logarithms 6.8 and 2.6. With it strangers' lips
have r .541 at their own lags (hama: .614), the speaker's .913 (.918).
"""

LIPS = dataclasses.replace(
    LAST,
    steps=2100,
    batch_size=28,
    frames=24,
    optimizer=dataclasses.replace(LITE.optimizer, learning_rate=1.5e-3),
    stage=phoneme_stage.PhonemeStageConfig(
        divergence=0.5,
        logs=0.03,
        lips=6.0,
        unknown=0.8,
        noise=0.15,
        bands=0.2,
        tract=0.06,
        hidden=0.05,
        ema_decay=0.997,
    ),
    speaker_prob=0.1,
    recordings_share=0.5,
)
"""Last: the lips that the embedded E_avct makes of it, with what a stream knows.

avct train phonemes --preset lips --clips DIR --run DIR --recordings DIR --init embedded
2100 steps, 11 minutes of a CPU core. By these losses, from sound that was spoiled before it was heard, the
embedded weights came about: a stream's lips have r .835 with those of `avct animate` (.803 before), run 27.
"""

TINY = mesh_run.PhonemeTraining(
    steps=4,
    batch_size=8,
    report_every=1,
    save_every=2,
    eval_every=2,
    eval_batches=1,
    image_every=0,
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    leave_out="",
    frames=8,
    copies=0,
    system=mesh_system.MeshSystemConfig(
        phoneme_net=phoneme_net.PhonemeNetConfig(width=8, dilations=(1, 2), ahead=(1, 1))
    ),
)
"""A minute on a CPU, most of it the first start's compiling; for trying, and tests; learns nothing of use."""
