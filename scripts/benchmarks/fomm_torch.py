"""The peer: one training step of the First Order Motion Model in PyTorch.

Written anew from the published description (Siarohin et al., NeurIPS 2019), in the plain style of its public
training code: NCHW tensors, eager mode, torch's own layers, autograd for the Jacobian of the warp. Modules
bear the names of the released checkpoints. It is here to be timed beside this package, and compared with it.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

VGG_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))  # VGG-19 up to relu5_1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class HourglassSize:
    """Widths of one U-net and of the heads on it."""

    block_expansion: int
    num_blocks: int
    max_features: int
    downsampling: int
    kernel_size: int = 7
    padding: int = 0


@dataclasses.dataclass(frozen=True)
class Size:
    """The defaults are vox-256's: 14.2, 37.7 and 7.85 million parameters.

    Attributes:
      working_downsampling: the generator works on images smaller by this factor, and its answer is enlarged.
      layers, scales: of the perceptual loss, `n` for relu`n`_1.
    """

    detector: HourglassSize = HourglassSize(32, 5, 1024, 4)
    motion: HourglassSize = HourglassSize(64, 5, 1024, 4, padding=3)
    num_keypoints: int = 10
    block_expansion: int = 64
    max_features: int = 512
    num_down_blocks: int = 2
    num_bottleneck_blocks: int = 6
    kernel_size: int = 7
    working_downsampling: int = 1
    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    scales: tuple[int, ...] = (1, 2, 4, 8)


# PAPER's networks are FOMM's own; of LITE the widths, depths, resolutions and light perceptual loss.
SIZES = {
    "paper": Size(),
    "lite": Size(
        detector=HourglassSize(16, 4, 128, 4, padding=3),
        motion=HourglassSize(16, 4, 128, 2, kernel_size=3),
        block_expansion=32,
        max_features=64,
        num_down_blocks=1,
        num_bottleneck_blocks=4,
        kernel_size=5,
        working_downsampling=2,
        layers=(1, 2, 3),
        scales=(2,),
    ),
}


class Keypoints(NamedTuple):
    """value (b, k, 2) in [-1, 1], jacobian (b, k, 2, 2)."""

    value: torch.Tensor
    jacobian: torch.Tensor


class AntiAlias(nn.Module):
    """Gaussian low-pass, then every `factor`-th pixel."""

    def __init__(self, channels: int, factor: int):
        super().__init__()
        sigma = (factor - 1) / 2
        size = 2 * round(4 * sigma) + 1
        place = torch.arange(size, dtype=torch.float32) - size // 2
        taps = torch.exp(-(place**2) / (2 * sigma**2)) if factor > 1 else torch.ones(1)
        kernel = taps[:, None] * taps[None]
        self.register_buffer("weight", (kernel / kernel.sum()).repeat(channels, 1, 1, 1))
        self.factor, self.pad = factor, size // 2

    def forward(self, x):
        if self.factor == 1:
            return x
        x = functional.pad(x, (self.pad,) * 4)
        return functional.conv2d(x, self.weight, groups=len(self.weight))[
            :, :, :: self.factor, :: self.factor
        ]


class Block(nn.Module):
    """Convolution, batch norm, ReLU; `change` halves or doubles the image."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, change: str = ""):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(outputs)
        self.change = change

    def forward(self, x):
        if self.change == "double":
            x = functional.interpolate(x, scale_factor=2)
        x = functional.relu(self.norm(self.conv(x)))
        return functional.avg_pool2d(x, 2) if self.change == "halve" else x


class ResBlock(nn.Module):
    """Pre-activation residual block."""

    def __init__(self, features: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(features), nn.BatchNorm2d(features)
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x):
        y = self.conv1(functional.relu(self.norm1(x)))
        return x + self.conv2(functional.relu(self.norm2(y)))


class Encoder(nn.Module):
    """Halve the image num_blocks times and keep every level."""

    def __init__(self, size: HourglassSize, inputs: int):
        super().__init__()
        widths = [min(size.max_features, size.block_expansion * 2**i) for i in range(1, size.num_blocks + 1)]
        pairs = zip([inputs, *widths[:-1]], widths, strict=True)
        self.down_blocks = nn.ModuleList(Block(a, b, change="halve") for a, b in pairs)

    def forward(self, x):
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Double it back, each level of the encoder laid beside."""

    def __init__(self, size: HourglassSize, inputs: int):
        super().__init__()
        width = lambda i: min(size.max_features, size.block_expansion * 2**i)
        last = size.num_blocks
        self.up_blocks = nn.ModuleList(
            Block(width(i) * (1 if i == last else 2), width(i - 1), change="double")
            for i in range(last, 0, -1)
        )
        self.out_filters = size.block_expansion + inputs

    def forward(self, levels):
        x = levels.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), levels.pop()], dim=1)
        return x


class Hourglass(nn.Module):
    """Encoder and decoder."""

    def __init__(self, size: HourglassSize, inputs: int):
        super().__init__()
        self.encoder, self.decoder = Encoder(size, inputs), Decoder(size, inputs)

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Detector(nn.Module):
    """Keypoints by soft-argmax, Jacobians averaged under the heatmaps."""

    def __init__(self, size: Size):
        super().__init__()
        s, k = size.detector, size.num_keypoints
        self.down = AntiAlias(3, s.downsampling)
        self.predictor = Hourglass(s, 3)
        channels = self.predictor.decoder.out_filters
        self.kp = nn.Conv2d(channels, k, s.kernel_size, padding=s.padding)
        self.jacobian = nn.Conv2d(channels, 4 * k, s.kernel_size, padding=s.padding)
        self.jacobian.weight.data.zero_()
        self.jacobian.bias.data.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0] * k))

    def forward(self, image) -> Keypoints:
        features = self.predictor(self.down(image))
        logits = self.kp(features)
        b, k, h, w = logits.shape
        heatmap = functional.softmax(logits.view(b, k, -1) / 0.1, dim=2).view(b, k, h, w, 1)
        value = (heatmap * coordinate_grid(h, w, image)).sum(dim=(2, 3))
        maps = self.jacobian(features).view(b, k, 4, h, w)
        jacobian = (heatmap.view(b, k, 1, h, w) * maps).sum(dim=(3, 4)).view(b, k, 2, 2)
        return Keypoints(value, jacobian)


class DenseMotion(nn.Module):
    """Per pixel, a mixture of the keypoints' affine motions, and the occlusion."""

    def __init__(self, size: Size):
        super().__init__()
        s, k = size.motion, size.num_keypoints
        self.down = AntiAlias(3, s.downsampling)
        self.hourglass = Hourglass(s, 4 * (k + 1))
        channels = self.hourglass.decoder.out_filters
        self.mask = nn.Conv2d(channels, k + 1, s.kernel_size, padding=s.kernel_size // 2)
        self.occlusion = nn.Conv2d(channels, 1, s.kernel_size, padding=s.kernel_size // 2)

    def forward(self, image, driving: Keypoints, source: Keypoints):
        image = self.down(image)
        b, _, h, w = image.shape
        grid = coordinate_grid(h, w, image)
        change = gaussians(driving.value, grid) - gaussians(source.value, grid)
        change = torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)[:, :, None]
        turn = source.jacobian @ torch.inverse(driving.jacobian)
        offset = (grid - driving.value[:, :, None, None])[..., None]
        moved = (turn[:, :, None, None] @ offset)[..., 0] + source.value[:, :, None, None]
        motions = torch.cat([grid.expand(b, 1, h, w, 2), moved], dim=1)
        count = motions.shape[1]
        copies = image[:, None].expand(b, count, 3, h, w).reshape(b * count, 3, h, w)
        warped = sample(copies, motions.view(b * count, h, w, 2)).view(b, count, 3, h, w)
        features = self.hourglass(torch.cat([change, warped], dim=2).view(b, count * 4, h, w))
        mask = functional.softmax(self.mask(features), dim=1)[:, :, None]
        deformation = (motions.permute(0, 1, 4, 2, 3) * mask).sum(dim=1).permute(0, 2, 3, 1)
        return deformation, torch.sigmoid(self.occlusion(features))


class Generator(nn.Module):
    """Warp the source's features, hide what is occluded, decode."""

    def __init__(self, size: Size):
        super().__init__()
        widths = [
            min(size.max_features, size.block_expansion * 2**i) for i in range(size.num_down_blocks + 1)
        ]
        self.down = AntiAlias(3, size.working_downsampling)
        self.dense_motion_network = DenseMotion(size)
        self.first = Block(3, widths[0], size.kernel_size)
        steps = list(itertools.pairwise(widths))
        self.down_blocks = nn.ModuleList(Block(a, b, change="halve") for a, b in steps)
        self.bottleneck = nn.Sequential()
        for i in range(size.num_bottleneck_blocks):
            self.bottleneck.add_module(f"r{i}", ResBlock(widths[-1]))
        self.up_blocks = nn.ModuleList(Block(b, a, change="double") for a, b in reversed(steps))
        self.final = nn.Conv2d(widths[0], 3, size.kernel_size, padding=size.kernel_size // 2)

    def forward(self, image, driving: Keypoints, source: Keypoints):
        small = self.down(image)
        x = self.first(small)
        for block in self.down_blocks:
            x = block(x)
        deformation, occlusion = self.dense_motion_network(small, driving, source)
        x = sample(x, resize(deformation.permute(0, 3, 1, 2), x).permute(0, 2, 3, 1)) * resize(occlusion, x)
        x = self.bottleneck(x)
        for block in self.up_blocks:
            x = block(x)
        return resize(torch.sigmoid(self.final(x)), image)


class VGG(nn.Module):
    """relu1_1 .. of VGG-19, not trained."""

    def __init__(self, layers: Sequence[int]):
        super().__init__()
        self.features, self.returned = nn.Sequential(), []
        inputs, index = 3, 0
        for block, (width, count) in enumerate(VGG_BLOCKS[: max(layers)], 1):
            for i in range(1 if block == max(layers) else count):
                self.features.add_module(str(index), nn.Conv2d(inputs, width, 3, padding=1))
                self.features.add_module(str(index + 1), nn.ReLU())
                if i == 0 and block in layers:
                    self.returned.append(len(self.features) - 1)
                inputs, index = width, index + 2
            if block < max(layers):
                self.features.add_module(str(index), nn.MaxPool2d(2))
                index += 1
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.gains = [1.0] * 5
        self.requires_grad_(False)

    def forward(self, x):
        x, found = (x - self.mean) / self.std, []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.returned:
                found.append(x)
        return [x * gain if gain != 1 else x for x, gain in zip(found, self.gains, strict=False)]


class Transform:
    """A random affine and thin-plate warp; `draw` brings the same numbers as the other side's."""

    def __init__(self, theta: torch.Tensor, params: torch.Tensor):
        self.theta, self.params = theta[:, None], params[:, None]
        points = round(params.shape[-1] ** 0.5)
        self.points = coordinate_grid(points, points, theta).view(1, 1, -1, 2)

    def frame(self, image):
        b, _, h, w = image.shape
        grid = self.coordinates(coordinate_grid(h, w, image).view(1, h * w, 2)).view(b, h, w, 2)
        return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    def coordinates(self, places):
        moved = (self.theta[..., :2] @ places[..., None] + self.theta[..., 2:])[..., 0]
        distance = (places[:, :, None] - self.points).abs().sum(-1)
        bump = distance**2 * torch.log(distance + 1e-6) * self.params
        return moved + bump.sum(dim=2)[..., None]

    def jacobian(self, places):
        moved = self.coordinates(places)
        rows = [torch.autograd.grad(moved[..., i].sum(), places, create_graph=True)[0] for i in (0, 1)]
        return torch.stack(rows, dim=-2)


class Step:
    """Networks, optimisers and one training step; parameters change in place."""

    def __init__(self, size: Size, device: str = "cpu"):
        self.size, self.device = size, torch.device(device)
        self.detector, self.generator = Detector(size).to(device), Generator(size).to(device)
        self.vgg = VGG(size.layers).to(device)
        self.pyramid = [AntiAlias(3, scale).to(device) for scale in size.scales]
        networks = (self.generator, self.detector)
        self.optimizers = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in networks]

    def losses(self, source, driving, transform: Transform) -> dict[str, torch.Tensor]:
        """Perceptual over scales and layers, and both equivariances; images (b, 3, h, w) in [0, 1]."""
        of_source, of_driving = self.detector(source), self.detector(driving)
        made = self.generator(source, of_driving, of_source)
        perceptual = torch.zeros((), device=self.device)
        for smaller in self.pyramid:
            pairs = zip(self.vgg(smaller(made)), self.vgg(smaller(driving)), strict=True)
            perceptual = perceptual + sum(10 * (a - b.detach()).abs().mean() for a, b in pairs)
        warped = self.detector(transform.frame(driving))
        keypoints = 10 * (of_driving.value - transform.coordinates(warped.value)).abs().mean()
        product = torch.inverse(of_driving.jacobian) @ (transform.jacobian(warped.value) @ warped.jacobian)
        eye = torch.eye(2, device=self.device).view(1, 1, 2, 2)
        jacobians = 10 * (eye - product).abs().mean()
        equivariance = {"equivariance_keypoints": keypoints, "equivariance_jacobians": jacobians}
        return {"perceptual": perceptual} | equivariance

    def __call__(
        self, source: np.ndarray, driving: np.ndarray, theta: np.ndarray, params: np.ndarray
    ) -> dict[str, float]:
        """Forward, backward, step; images (b, h, w, 3) in [0, 1]. Returns the losses: all is done then."""
        tensor = lambda x: torch.from_numpy(x).to(self.device)
        image = lambda x: tensor(x).permute(0, 3, 1, 2).contiguous()
        warp = Transform(tensor(theta), tensor(params))
        losses = self.losses(image(source), image(driving), warp)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return {name: float(value.detach()) for name, value in losses.items()}


def coordinate_grid(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """(h, w, 2) x, y, corner pixels at +-1."""
    x = torch.linspace(-1, 1, width, device=like.device)
    y = torch.linspace(-1, 1, height, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def gaussians(keypoints: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """(b, k, h, w), variance 0.01."""
    return torch.exp(-0.5 * ((grid - keypoints[:, :, None, None]) ** 2).sum(-1) / 0.01)


def sample(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Read bilinearly, zero outside, with FOMM's pixel convention."""
    return functional.grid_sample(image, grid, align_corners=False)


def resize(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Bilinear, to the height and width of `like`."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
