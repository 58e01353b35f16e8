"""Presets of `avct train renderer`: E_kd and E_r."""

import dataclasses

from avct_jax.data.dataset import batch_types
from avct_jax.models import system_config
from avct_jax.train import run
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.stages import renderer_stage

PAPER = run.RendererTraining(
    steps=100_000,
    batch_size=40,
    save_every=1000,
    eval_every=1000,
    image_every=1000,
    stage=renderer_stage.RendererStageConfig(),
    optimizer=optimizer.OptimizerConfig(
        learning_rate=2e-4, betas=(0.5, 0.999), schedule="multistep", milestones=(0.6, 0.9), clip=0.0
    ),
    draw=batch_types.DrawConfig(speaker=""),
    system=system_config.PAPER,
)
"""FOMM's vox-256 recipe, which the paper follows, on 256 px: perceptual loss and equivariance, no landmarks.

avct train renderer --preset paper --clips DIR --run DIR --vgg vgg19-dcbb9e9d.pth
Not yet reproduced: it wants days on several GPUs.
"""

LITE = run.RendererTraining(
    steps=3000,
    batch_size=8,
    save_every=100,
    eval_every=250,
    image_every=250,
    stage=renderer_stage.RendererStageConfig(
        perceptual=0.0,
        equivariance_keypoints=0.0,
        equivariance_jacobians=0.0,
        l1=5.0,
        mouth=20.0,
        painted=0.5,
        landmarks=10.0,
        noise=0.02,
        jitter=0.3,
        teach=True,
        output_size=128,
        ema_decay=0.998,
    ),
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, warmup=50, betas=(0.9, 0.999), final_share=0.02),
    draw=batch_types.DrawConfig(
        image_size=128,
        speaker="",
        driving=2,
        speaker_prob=0.35,
        open_mouths=True,
        log_scale=(-0.2, 0.05),
        rotation=0.1,
        translation=0.08,
    ),
    system=system_config.LITE,
)
"""The embedded size: keypoints taught by landmarks, images compared at 128 px, no VGG needed.

avct train renderer --preset lite --clips DIR --run DIR
For CPUs: some two hours on two shared cores brought an earlier, narrower checkpoint to a held-out L1 of
.0349 (a still image: .0496). This size and the embedded weights come from lite-gpu and lite-game below.
"""

LITE_GPU = dataclasses.replace(
    LITE,
    steps=12_500,
    batch_size=32,
    report_every=100,
    save_every=1000,
    eval_every=1000,
    eval_batches=2,
    image_every=2500,
    stage=dataclasses.replace(
        LITE.stage,
        l1=10.0,
        perceptual=0.5,
        perceptual_layers=(1, 2, 3, 4),
        perceptual_scales=(1, 2, 4),
        mouth_perceptual=1.0,
        ema_decay=0.999,
    ),
    optimizer=dataclasses.replace(LITE.optimizer, warmup=100),
    compute=grad_accumulation.ComputeConfig(dtype="bfloat16"),
)
"""LITE on one GPU, with VGG's opinion of the whole image: what the embedded weights come from.

avct train renderer --preset lite-gpu --clips DIR --run DIR --source device --vgg vgg19.npz --init embedded
One H200: 6 minutes and 10 seconds, 1080 examples (3240 images) a second, 6 GiB of its memory, begun with a
trained E_kd, dense motion and painter random (without --init all is; from the embedded weights it goes on).
Held-out L1 .0246, still image .0429 (docs/lab-notebook, run 17).
"""

LITE_GAME = dataclasses.replace(
    LITE_GPU,
    steps=3600,
    stage=dataclasses.replace(LITE_GPU.stage, gan=0.2, feature_matching=0.5),
    optimizer=dataclasses.replace(
        LITE_GPU.optimizer, learning_rate=2e-4, warmup=50, final_share=0.05, betas=(0.5, 0.999)
    ),
)
"""And then, late, an image discriminator too.

avct train renderer --preset lite-game --clips DIR --run OTHER --source device --vgg vgg19.npz --init GPU_FILE
One H200: 2 minutes and 12 seconds, 883 examples a second. Held-out L1 .0246 to .0242; images hardly
change: the discriminator still learns at the end (docs/lab-notebook).
"""

TINY = run.RendererTraining(
    steps=8,
    batch_size=8,
    report_every=1,
    save_every=2,
    eval_every=4,
    eval_batches=1,
    image_every=4,
    stage=renderer_stage.RendererStageConfig(
        perceptual=0.0,
        l1=5.0,
        mouth=5.0,
        painted=0.5,
        landmarks=10.0,
        teach=True,
    ),
    optimizer=optimizer.OptimizerConfig(learning_rate=1e-3, schedule="constant"),
    draw=batch_types.DrawConfig(image_size=64, speaker="", rotation=0.1, translation=0.05),
    system=system_config.TINY,
)
"""A minute on a CPU, most of it the first start's compiling; for trying, and tests; learns nothing of use."""
