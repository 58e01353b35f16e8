"""Presets of `avct train speech`: E_avct of the mesh."""

import dataclasses

from avct_jax.models import mesh_system, speech_motion
from avct_jax.train import mesh_run, optimizer

SPEAKER = mesh_run.SpeechTraining(
    steps=1000,
    batch_size=64,
    save_every=250,
    judge_every=250,
    picture_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=50, betas=(0.9, 0.99), weight_decay=1e-3, clip=1.0
    ),
    speaker_share=0.7,
    copies=0,
)
"""First: mostly the speaker, who is in sync, so that the lags of others can be found.

avct train speech --preset speaker --clips DIR --run FIRST
1000 steps of absolute errors (before run 21), 4 minutes on one busy CPU core: opening r .849 on the speaker's
clips kept apart, .426 on other people's at their own lags.
"""

LITE = mesh_run.SpeechTraining(
    steps=1500,
    batch_size=32,
    save_every=500,
    judge_every=500,
    picture_every=0,
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-3, warmup=50, betas=(0.9, 0.99), weight_decay=1e-3, clip=1.0
    ),
    speaker_share=0.4,
)
"""Then: everybody, each clip's lag taken out, half of the examples said by other voices.

avct train speech --preset lite --clips DIR --run DIR --init FIRST/speech.safetensors
1500 steps from random weights, lags by run 20's model, 7 minutes on a third of a CPU core: opening r .911
on the speaker's 43 clips kept apart, .605 on 47 clips of other people at their own lags (none of them seen),
spreads .94 and .65.
"""

LAST = dataclasses.replace(
    LITE, steps=1000, optimizer=dataclasses.replace(LITE.optimizer, learning_rate=1.2e-3), seed=2
)
"""The embedded one: once more, each clip's lag sought again.

avct train speech --preset last --clips DIR --run LAST --init DIR/speech.safetensors
1000 steps, 6 minutes: opening r .918 and .614, width r .780 and .369, spreads .92 and .64; with a gain of 1.3
from the mean of speech .926 and .614, spreads 1.07 and .81.
"""

TINY = mesh_run.SpeechTraining(
    steps=4,
    batch_size=8,
    report_every=1,
    save_every=2,
    judge_every=2,
    judge_batches=1,
    picture_every=0,
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    leave_out="",
    copies=0,
    system=mesh_system.MeshSystemConfig(
        speech_motion=speech_motion.SpeechMotionConfig(d_model=16, num_heads=2, feedforward=16)
    ),
)
"""Seconds on a CPU, for trying and for tests; learns nothing of use."""
