"""The peers of the mesh's trainings: the mouth painter's step and E_avct's, in PyTorch.

The same networks, losses and rules as avct_jax/train/mesh_stages, in the plain style of public training code:
NCHW tensors, eager mode, torch's own layers. They are here to be timed beside this package, and compared with
it.
"""

import itertools
import math

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from avct_jax.layers import transformer
from avct_jax.models.mesh import mouth_painter, speech_motion
from avct_jax.train.mesh_stages import mouth_discriminator, painter_stage, speech_stage

RGB = (0.299, 0.587, 0.114)


class Painter(nn.Module):
    """mouth_painter.MouthPainter on patches folded 2 x 2."""

    def __init__(self, config: mouth_painter.MouthPainterConfig, inputs: int = 40):
        super().__init__()
        widths = config.channels
        self.canvas = nn.Parameter(0.1 * torch.randn(config.canvas, 32, 48))
        self.canvas_ways = nn.Parameter(0.1 * torch.randn(config.codes, config.canvas, 32, 48))
        before = (inputs + config.canvas, *widths[:-1])
        self.down = nn.ModuleList(_pair(a, b) for a, b in zip(before, widths, strict=True))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in itertools.pairwise(widths))
        joined = [2 * width + (config.canvas if i == 0 else 0) for i, width in enumerate(widths[:-1])]
        self.join = nn.ModuleList(_pair(a, b) for a, b in zip(joined, widths[:-1], strict=True))
        self.paint = nn.Conv2d(widths[0], 16, 3, padding=1)
        nn.init.normal_(self.paint.weight, std=0.001)

    def forward(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """Inputs (b, 10, 64, 96), codes (b, k) -> what is painted (b, 4, 64, 96), before its sigmoid."""
        canvas = self.canvas + torch.tensordot(code, self.canvas_ways, 1)
        x, levels = torch.cat([functional.pixel_unshuffle(x, 2), canvas], 1), []
        for i, pair in enumerate(self.down):
            x = pair(functional.avg_pool2d(x, 2) if i else x)
            levels.append(x)
        for i in reversed(range(len(self.up))):
            x = functional.leaky_relu(self.up[i](functional.interpolate(x, scale_factor=2)), 0.2)
            x = self.join[i](torch.cat([x, levels[i], *([canvas] if i == 0 else [])], 1))
        return functional.pixel_shuffle(self.paint(x), 2)


class Critic(nn.Module):
    """patch_discriminator.PatchDiscriminator without spectral norm."""

    def __init__(self, expansion: int, blocks: int, most: int):
        super().__init__()
        widths = [4, *(min(most, expansion * 2 ** (i + 1)) for i in range(blocks))]
        self.blocks = nn.ModuleList(nn.Conv2d(a, b, 4) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for width in widths[2:])
        self.prediction = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(b, 4, h, w) -> opinions (b, 1, hh, ww) and each block's features."""
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            x = functional.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
            x = functional.avg_pool2d(x, 2) if i < len(self.blocks) - 1 else x
            features.append(x)
        return self.prediction(x), features


class PainterStep:
    """Networks, rules and one training step; parameters change in place."""

    def __init__(
        self, config: mouth_painter.MouthPainterConfig, stage: painter_stage.PainterStageConfig, people: int
    ):
        critic = stage.discriminator
        self.stage = stage
        self.painter = Painter(config)
        self.critic = Critic(critic.block_expansion, critic.num_blocks, critic.max_features)
        self.codes = nn.Parameter(torch.zeros(people, config.codes))
        adam = lambda parameters, scale=1.0: torch.optim.Adam(parameters, lr=1e-3 * scale, betas=(0.5, 0.99))
        self.rules = [
            (list(self.painter.parameters()), adam(self.painter.parameters())),
            ([self.codes], adam([self.codes], 3.0)),
            (list(self.critic.parameters()), adam(self.critic.parameters(), stage.discriminator_rate)),
        ]
        self.border = torch.from_numpy(np.array(mouth_painter.border())).permute(0, 3, 1, 2)

    def __call__(self, batch: dict[str, torch.Tensor], *, game: bool) -> float:
        """Forward, backward, step; the critic is asked and learns where `game` says so."""
        shown, share, code = self.show(batch)
        off = shown - batch["real"]
        weight = self._weight(batch) * self.border
        total = (off * weight).abs().mean() + self.stage.quiet * (share * (1 - batch["inside"])).mean()
        steps = [torch.diff(off, dim=2) * weight[:, :, 1:], torch.diff(off, dim=3) * weight[..., 1:]]
        total = total + self.stage.gradient * sum(step.abs().mean() for step in steps)
        total = total + self.stage.code * (code**2).mean()
        if game:
            made, features = self.critic(self._seen(shown, batch))
            with torch.no_grad():
                _, wanted = self.critic(self._seen(batch["real"], batch))
            pairs = zip(wanted, features, strict=True)
            total = total + self.stage.matching * sum((a - b).abs().mean() for a, b in pairs)
            total = total + self.stage.gan * ((1 - made) ** 2 * self._opinion_weight(batch, made)).mean()
        self._step(total, self.rules[:2])
        if game:
            real, made = (self.critic(self._seen(x, batch))[0] for x in (batch["real"], shown.detach()))
            weight = self._opinion_weight(batch, made)
            self._step((((1 - real) ** 2 + made**2) * weight).mean(), self.rules[2:])
        return float(total.detach())

    def show(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is shown (b, 3, h, w), the painting's share, and codes."""
        tint, colourful = self._light(batch)
        plain = lambda x: (x / tint).clamp(0, 1)
        inside, skin, own = batch["inside"], plain(batch["skin"]), plain(batch["own"])
        depth = [(batch[name] / 0.1).clamp(-3, 3) / 3 for name in ("below", "above")]
        inputs = [(skin * 2 - 1) * (1 - inside), inside, *depth, own * 2 - 1, batch["own_inside"]]
        code = self.codes[batch["person"]]
        x = self.painter(torch.cat(inputs, 1), code)
        wide = functional.avg_pool2d(functional.avg_pool2d(functional.avg_pool2d(inside, 2), 2), 2)
        near = (4 * functional.interpolate(wide, size=inside.shape[2:], mode="bilinear")).clamp(0, 1)
        share = (inside + (1 - inside) * near * torch.sigmoid(x[:, 3:] - 3)) * self.border
        mean = _mean(skin, 1 - inside)
        base = (skin * (1 - inside) + 0.5 * mean * inside).clamp(0.02, 0.98)
        colour = torch.sigmoid(x[:, :3] + torch.log(base / (1 - base))) * tint
        grey = (colour * torch.tensor(RGB).view(1, 3, 1, 1)).sum(1, keepdim=True)
        colour = (grey + colourful * (colour - grey)).clamp(0, 1)
        return batch["skin"] + share * (colour - batch["skin"]), share, code

    def _light(self, batch):
        mean = _mean(batch["own"], 1 - batch["own_inside"]).clamp(min=1e-2)
        grey = (mean * torch.tensor(RGB).view(1, 3, 1, 1)).sum(1, keepdim=True)
        off = torch.log(mean / grey / torch.tensor(mouth_painter.USUAL_TINT).view(1, 3, 1, 1))
        spread = mean.amax(1, keepdim=True) - mean.amin(1, keepdim=True)
        colourful = (spread / mean.mean(1, keepdim=True) / mouth_painter.COLOURLESS).clamp(0, 1)
        return torch.exp(off * off.abs() / (off.abs() + mouth_painter.OWN_TINT)), colourful

    def _weight(self, batch):
        below, above = batch["below"], batch["above"]
        lips = torch.exp(-((torch.minimum(below.abs(), above.abs()) / 0.06) ** 2))
        lips = lips * (1 - torch.maximum(-below, -above) / 0.15).clamp(0, 1)
        return 1 + self.stage.inside * batch["inside"] + self.stage.edge * lips

    def _seen(self, image, batch):
        top, left, height, width = mouth_discriminator.MOUTH
        both = torch.cat([image, batch["inside"]], 1)
        return both[:, :, top : top + height, left : left + width]

    def _opinion_weight(self, batch, opinions):
        seen = self._seen(batch["real"], batch)[:, 3:]
        seen = functional.interpolate(seen, size=opinions.shape[2:], mode="bilinear", antialias=True)
        seen = seen + mouth_discriminator.ELSEWHERE
        return seen / seen.mean()

    def _step(self, loss, rules):
        for _, rule in rules:
            rule.zero_grad()
        loss.backward()
        for parameters, rule in rules:
            nn.utils.clip_grad_norm_(parameters, 1.0)
            rule.step()
        # What the painter's loss left in the critic is not the critic's own.
        self.critic.zero_grad()


class Speech(nn.Module):
    """speech_motion.SpeechMotion."""

    def __init__(self, c: speech_motion.SpeechMotionConfig):
        super().__init__()
        d = c.d_model
        self.config = c
        self.said = nn.Linear(2 * c.steps * c.symbols, d)
        self.posed, self.styled = nn.Linear(6, d), nn.Linear(1, d)
        self.heard = nn.Sequential(nn.Linear(c.rows * c.columns, 2 * d), nn.ReLU(), nn.Linear(2 * d, d))
        layer = {
            "nhead": c.num_heads,
            "dim_feedforward": c.feedforward,
            "dropout": c.dropout,
            "batch_first": True,
        }
        self.encoder = nn.TransformerEncoderLayer(d, **layer)
        self.decoder = Decoder(d, c.num_heads, c.feedforward, c.dropout)
        self.mixed = nn.Sequential(nn.Linear(2 * c.window * d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d))
        self.coefficients = nn.Linear(d, c.components)
        self.code = nn.Parameter(torch.zeros(c.codes))
        self.personal = nn.Linear(c.codes, d, bias=False)
        self.manner = nn.Linear(c.codes, c.components, bias=False)
        positions = torch.from_numpy(transformer.sinusoids(c.window, d))
        self.register_buffer("positions", positions)

    def forward(self, posteriors, poses, audio, style, code) -> torch.Tensor:
        """As SpeechMotion.__call__."""
        c = self.config
        said = posteriors.clamp(min=speech_motion.LEAST_LOG) / -speech_motion.LEAST_LOG * 2 + 1
        said = torch.cat([said, posteriors.exp()], -1)
        encoded = self.said(said.flatten(2)) + self.posed(poses / speech_motion.POSE_SCALE)
        decoded = (
            self.heard(audio.flatten(2)) + self.styled(style[:, None])[:, None] + self.personal(code)[:, None]
        )
        windows = [x.unfold(1, c.window, 1).transpose(2, 3) for x in (encoded, decoded)]
        b, t, w, d = windows[0].shape
        source, target = (x.reshape(b * t, w, d) + self.positions for x in windows)
        x = self.decoder(target, self.encoder(source), w // 2)
        x = x + self.mixed(torch.cat(windows, -1).reshape(b * t, -1))
        return self.coefficients(x).view(b, t, -1) + self.manner(code)[:, None]


class Decoder(nn.Module):
    """One post-norm layer that decodes a single row, and the norm at its end."""

    def __init__(self, d: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        attention = {"dropout": dropout, "batch_first": True}
        self.own, self.cross = (nn.MultiheadAttention(d, heads, **attention) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.perceptron = nn.Sequential(
            nn.Linear(d, feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feedforward, d)
        )

    def forward(self, x: torch.Tensor, memory: torch.Tensor, row: int) -> torch.Tensor:
        """(b, w, d) and (b, m, d) -> (b, d)."""
        query = x[:, row : row + 1]
        query = self.norms[0](query + self.dropout(self.own(query, x, x, need_weights=False)[0]))
        found = self.cross(query, memory, memory, need_weights=False)[0]
        query = self.norms[1](query + self.dropout(found))
        query = self.norms[2](query + self.dropout(self.perceptron(query)))
        return self.norms[3](query)[:, 0]


class SpeechStep:
    """Network, codes, rule and one training step."""

    def __init__(
        self,
        config: speech_motion.SpeechMotionConfig,
        stage: speech_stage.SpeechStageConfig,
        basis: speech_stage.Basis,
        people: int,
    ):
        self.network, self.stage = Speech(config), stage
        self.codes = nn.Parameter(0.3 * torch.randn(people, config.codes))
        self.lips, self.jaw = (torch.from_numpy(np.array(x)).flatten(1) for x in (basis.lips, basis.jaw))
        self.parameters = [*self.network.parameters(), self.codes]
        self.rule = torch.optim.AdamW(self.parameters, lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-3)

    def __call__(self, batch: dict[str, torch.Tensor]) -> float:
        """Forward, backward, step."""
        seen = self._vary(batch)
        found = self.network(seen["posteriors"], seen["poses"], seen["audio"], seen["style"], seen["code"])
        off = found - batch["speech"]
        total = ((10 * off @ self.lips) ** 2).mean() + self.stage.jaw * ((10 * off @ self.jaw) ** 2).mean()
        total = total + self.stage.coefficients * (off**2).mean()
        self.rule.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.rule.step()
        return float(total.detach())

    def _vary(self, batch):
        """As speech_stage.vary."""
        audio, b = batch["audio"], len(batch["audio"])
        audio = audio + self.stage.noise * torch.randn_like(audio)
        audio = audio + self.stage.bands * torch.randn(b, 1, 1, audio.shape[-1])
        dropped = torch.rand(b)
        keep = lambda low: (
            (dropped < low * self.stage.drop) | (dropped >= (low + 1) * self.stage.drop)
        ).float()
        flat = torch.full_like(batch["posteriors"], -math.log(batch["posteriors"].shape[-1]))
        unknown = (torch.rand(b) < self.stage.stranger)[:, None]
        return {
            "posteriors": torch.where(keep(0).view(-1, 1, 1, 1) > 0, batch["posteriors"], flat),
            "audio": audio * keep(1).view(-1, 1, 1, 1),
            "poses": batch["poses"] * keep(2).view(-1, 1, 1),
            "style": batch["style"],
            "code": torch.where(unknown, self.network.code, self.codes[batch["person"]]),
        }


def _pair(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
    )


def _mean(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of each example's weighted pixels, (b, 3, 1, 1)."""
    return (image * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)
