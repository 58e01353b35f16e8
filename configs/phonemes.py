"""Presets of `avct train phonemes`: the phoneme network of the mesh."""

from avct_jax.models import mesh_system, phoneme_net
from avct_jax.train import mesh_run, optimizer

LITE = mesh_run.PhonemeTraining(
    steps=2400,
    batch_size=24,
    save_every=400,
    judge_every=400,
    picture_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=100, betas=(0.9, 0.99), weight_decay=1e-2, clip=1.0
    ),
    speaker_share=0.4,
)
"""The embedded one, from clips, their re-voiced copies and a folder of synthesised voices.

avct train phonemes --preset lite --clips DIR --run DIR --sounds DIR
"""

TINY = mesh_run.PhonemeTraining(
    steps=4,
    batch_size=8,
    report_every=1,
    save_every=2,
    judge_every=2,
    judge_batches=1,
    picture_every=0,
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    leave_out="",
    frames=8,
    copies=0,
    system=mesh_system.MeshSystemConfig(
        phoneme_net=phoneme_net.PhonemeNetConfig(width=8, dilations=(1, 2), ahead=(1, 1))
    ),
)
"""Seconds on a CPU, for trying and for tests; learns nothing of use."""
