"""Presets of `avct train speech`: E_avct of the mesh."""

from avct_jax.models import mesh_system
from avct_jax.models.mesh import speech_motion
from avct_jax.train import mesh_run
from avct_jax.train.core import optimizer

SPEAKER = mesh_run.SpeechTraining(
    steps=1000,
    batch_size=64,
    save_every=250,
    eval_every=250,
    image_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=50, betas=(0.9, 0.99), weight_decay=1e-3, clip=1.0
    ),
    speaker_prob=0.7,
    copies=0,
)
"""First: mostly the speaker, who is in sync, so that the lags of others can be found.

avct train speech --preset speaker --clips DIR --run FIRST
1000 steps of absolute errors (before run 21), 4 minutes on one busy CPU core: opening r .849 on the speaker's
clips kept apart, .426 on other people's at their own lags.
"""

LITE = mesh_run.SpeechTraining(
    steps=4000,
    batch_size=32,
    save_every=500,
    eval_every=500,
    image_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=50, betas=(0.9, 0.99), weight_decay=1e-3, clip=1.0
    ),
    frames=12,
    speaker_prob=0.3,
)
"""Then, the embedded one: everybody, each clip's lag taken out, half of the examples said by other voices.

avct train speech --preset lite --clips DIR --run DIR --init FIRST/speech.safetensors
4000 steps from random weights, lags by run 21's model, .23 s a step on one CPU core (run 24): opening r .925
on the speaker's 43 clips kept apart, .636 on 47 clips of other people at their own lags (none of them seen),
spreads .91 and .66.
The embedded weights are of an earlier form of this stage; this one's 3000 steps had .925 and .642 (run 24).
"""

TINY = mesh_run.SpeechTraining(
    steps=4,
    batch_size=8,
    report_every=1,
    save_every=2,
    eval_every=2,
    eval_batches=1,
    image_every=0,
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    leave_out="",
    copies=0,
    system=mesh_system.MeshSystemConfig(
        speech_motion=speech_motion.SpeechMotionConfig(d_model=16, num_heads=2, feedforward=16)
    ),
)
"""A minute on a CPU, most of it the first start's compiling; for trying, and tests; learns nothing of use."""
