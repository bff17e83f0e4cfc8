"""The paper's alternation in plain PyTorch: `tools/benchmark.py --what=peer` measures the product beside it.

Written from the description of BigGAN-PyTorch in its SAGAN form (Brock, 2018): layers as the papers draw
them, every training pass stores u, the generator's step has fresh fakes. The networks are the product's
functions, and their parameters have its names. There are two forms: plain, with PyTorch's defaults as that
code has them, and tuned, with channels_last memory and fused Adam.

As a program it takes one JSON argument: `networks` (the arguments of `make_networks`), `batch_size`,
`precision` and `tuned`. For each line on its input it runs one step and answers with one line of JSON: the
losses, and the process's peak memory in GiB.
"""

import copy
import json
import os
import sys

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where nothing is installed

from tools.ceilings import peak_memory  # noqa: E402

_EMA_DECAY = 0.9999
_SIDE = 4  # of the generator's first feature map


class SpectrallyNormalized(nn.Module):
    """A kernel (outputs, ...) that is divided by its largest singular value: one power iteration a pass."""

    def __init__(self, *shape: int, use_bias: bool = False):
        super().__init__()
        self.kernel = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if use_bias else None
        self.register_buffer("u", torch.randn(1, shape[0]))

    def normalized(self) -> torch.Tensor:
        """kernel / sigma, float32; sigma is differentiated, u and v are constants. Stores u in training."""
        with torch.autocast("cpu", enabled=False):
            # Channels last, so that the matrix is a view of the kernel and not a copy.
            kernel = self.kernel.permute(0, 2, 3, 1) if self.kernel.dim() == 4 else self.kernel
            matrix = kernel.flatten(1)
            with torch.no_grad():
                v = functional.normalize(self.u @ matrix, eps=1e-12)
                u = functional.normalize(v @ matrix.T, eps=1e-12)
                if self.training:
                    self.u.copy_(u)
            return self.kernel / (v @ matrix.T @ u.T)[0, 0]


class Conv(SpectrallyNormalized):
    """(B, C, H, W) -> (B, filters, H, W)."""

    def __init__(self, channels: int, filters: int, size: int = 3, use_bias: bool = True):
        super().__init__(filters, channels, size, size, use_bias=use_bias)

    def forward(self, x):
        return functional.conv2d(x, self.normalized(), self.bias, padding="same")


class Dense(SpectrallyNormalized):
    """(B, inputs) -> (B, units)."""

    def __init__(self, inputs: int, units: int):
        super().__init__(units, inputs, use_bias=True)

    def forward(self, x):
        return functional.linear(x, self.normalized(), self.bias)


class Embedding(SpectrallyNormalized):
    """labels (B,) -> (B, size)."""

    def forward(self, labels):
        return functional.embedding(labels, self.normalized())


class BatchNorm(nn.Module):
    """Batch normalization with a gain and bias for each class, or with one where `classes` is 0."""

    def __init__(self, classes: int, channels: int):
        super().__init__()
        shape = (classes, channels) if classes else (channels,)
        self.gain, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_variance", torch.ones(channels))

    def forward(self, x, labels=None):
        moving = self.moving_mean, self.moving_variance
        if self.gain.dim() == 1:
            return functional.batch_norm(x, *moving, self.gain, self.bias, self.training)
        gain, bias = (
            functional.embedding(labels, table)[:, :, None, None] for table in (self.gain, self.bias)
        )
        x = functional.batch_norm(x, *moving, training=self.training)
        return x * gain.to(x.dtype) + bias.to(x.dtype)


class Attention(nn.Module):
    """y = gamma o + x; keys and values are max-pooled. (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        few, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = Conv(channels, few, 1, False), Conv(channels, few, 1, False)
        self.value, self.projection = Conv(channels, half, 1, False), Conv(half, channels, 1, False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x, labels=None):
        query = self.query(x).flatten(2)  # (B, C/8, N)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)  # (B, C/8, M)
        value = functional.max_pool2d(self.value(x), 2).flatten(2)  # (B, C/2, M)
        beta = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (B, N, M)
        mixed = (value @ beta.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma.to(x.dtype) * self.projection(mixed) + x


class UpBlock(nn.Module):
    """(B, C, H, W) and labels -> (B, filters, 2H, 2W)."""

    def __init__(self, channels: int, filters: int, classes: int):
        super().__init__()
        self.norm_1, self.norm_2 = BatchNorm(classes, channels), BatchNorm(classes, filters)
        self.conv_1, self.conv_2 = Conv(channels, filters), Conv(filters, filters)
        self.shortcut = Conv(channels, filters, 1)

    def forward(self, x, labels):
        h = functional.relu(self.norm_1(x, labels), inplace=True)
        h, x = functional.interpolate(h, scale_factor=2), functional.interpolate(x, scale_factor=2)
        h = functional.relu(self.norm_2(self.conv_1(h), labels), inplace=True)
        return self.conv_2(h) + self.shortcut(x)


class DownBlock(nn.Module):
    """(B, C, H, W) -> (B, filters, H/2, W/2), or (B, filters, H, W) where `down` is False."""

    def __init__(self, channels: int, filters: int, first: bool, down: bool):
        super().__init__()
        self.first, self.down = first, down
        self.conv_1, self.conv_2 = Conv(channels, filters), Conv(filters, filters)
        self.shortcut = Conv(channels, filters, 1) if down or channels != filters else None

    def forward(self, x, labels=None):
        h = self.conv_1(x if self.first else functional.relu(x))
        h = self.conv_2(functional.relu(h, inplace=True))
        if self.first:  # three channels: pooled before they become many
            return functional.avg_pool2d(h, 2) + self.shortcut(functional.avg_pool2d(x, 2))
        x = x if self.shortcut is None else self.shortcut(x)
        return functional.avg_pool2d(h + x, 2) if self.down else h + x


class Generator(nn.Module):
    """z (B, z_dim), labels (B,) -> images (B, 3, H, W) in [-1, 1]. `widths`: filters of the blocks."""

    def __init__(self, widths, attention, classes: int, z_dim: int = 128):
        super().__init__()
        self.dense = Dense(z_dim, _SIDE**2 * widths[0])
        self.blocks = nn.ModuleDict()
        channels, resolution = widths[0], _SIDE
        for filters in widths:
            resolution *= 2
            self.blocks[f"block_{resolution}"] = UpBlock(channels, filters, classes)
            if resolution in attention:
                self.blocks[f"attention_{resolution}"] = Attention(filters)
            channels = filters
        self.last_norm, self.last_conv = BatchNorm(0, channels), Conv(channels, 3)

    def forward(self, z, labels):
        x = self.dense(z).unflatten(1, (_SIDE, _SIDE, -1)).permute(0, 3, 1, 2)
        for block in self.blocks.values():
            x = block(x, labels)
        return torch.tanh(self.last_conv(functional.relu(self.last_norm(x), inplace=True)).float())


class Discriminator(nn.Module):
    """Images (B, 3, H, W), labels (B,) -> logits, float32 (B,). `downsampling`: how many blocks do so."""

    def __init__(self, image_size: int, widths, downsampling: int, attention, classes: int):
        super().__init__()
        self.blocks = nn.ModuleDict()
        channels, resolution = 3, image_size
        for index, filters in enumerate(widths):
            down = index < downsampling
            resolution //= 2 if down else 1
            name = f"block_{resolution}" if down else f"block_{resolution}_{index}"
            self.blocks[name] = DownBlock(channels, filters, index == 0, down)
            if down and resolution in attention:
                self.blocks[f"attention_{resolution}"] = Attention(filters)
            channels = filters
        self.dense, self.embedding = Dense(channels, 1), Embedding(classes, channels)

    def forward(self, images, labels):
        x = images
        for block in self.blocks.values():
            x = block(x)
        h = functional.relu(x).float().sum((2, 3))
        return self.dense(h)[:, 0].float() + (h * self.embedding(labels)).sum(1)


def make_networks(
    image_size: int, generator_widths, discriminator_widths, downsampling: int, attention, classes: int
) -> tuple[Generator, Discriminator]:
    """A generator and a discriminator with attention at the same resolutions."""
    discriminator = Discriminator(image_size, discriminator_widths, downsampling, attention, classes)
    return Generator(generator_widths, attention, classes), discriminator


class Game:
    """Two networks, their optimizers and the alternation, on one batch of random images.

    Args:
      generator, discriminator: of images of this size.
      image_size: height and width of the images.
      batch_size: number of real images, and of fakes.
      precision: "float32", or "bfloat16" for autocast.
      tuned: whether memory is channels_last and Adam fused, instead of PyTorch's defaults.
    """

    def __init__(
        self, generator, discriminator, image_size: int, batch_size: int, precision: str, tuned: bool
    ):
        form = {"memory_format": torch.channels_last if tuned else torch.contiguous_format}
        self.generator, self.discriminator = generator.to(**form), discriminator.to(**form)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, (0.0, 0.9), fused=tuned)
            for network, rate in ((self.generator, 1e-4), (self.discriminator, 4e-4))
        ]
        self.images = (torch.rand(batch_size, 3, image_size, image_size) * 2 - 1).to(**form)
        self.classes = len(self.discriminator.embedding.kernel)
        self.labels = torch.arange(batch_size) % self.classes
        self.precision = precision

    def step(self) -> dict[str, float]:
        """A step of the discriminator and one of the generator. Returns their losses."""
        self.discriminator.requires_grad_(True)
        with self._autocast():
            with torch.no_grad():
                fakes, labels = self._fakes()
            logits = self.discriminator(torch.cat([self.images, fakes]), torch.cat([self.labels, labels]))
        real, fake = logits.chunk(2)
        discriminator_loss = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
        self._update(1, discriminator_loss)
        self.discriminator.requires_grad_(False)
        with self._autocast():
            generator_loss = -self.discriminator(*self._fakes()).mean()
        self._update(0, generator_loss)
        with torch.no_grad():
            averages, weights = (list(net.parameters()) for net in (self.average, self.generator))
            torch._foreach_lerp_(averages, weights, 1 - _EMA_DECAY)
        return {"discriminator": discriminator_loss.item(), "generator": generator_loss.item()}

    def _autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def _fakes(self):
        labels = torch.randint(self.classes, self.labels.shape)
        return self.generator(torch.randn(len(labels), self.generator.dense.kernel.shape[1]), labels), labels

    def _update(self, index: int, loss) -> None:
        self.optimizers[index].zero_grad()
        loss.backward()
        self.optimizers[index].step()


def main() -> None:
    """Answers each line of the input with one step."""
    arguments = json.loads(sys.argv[1])
    networks = arguments.pop("networks")
    game = Game(*make_networks(**networks), networks["image_size"], **arguments)
    for _ in sys.stdin:
        print(json.dumps({"losses": game.step(), "peak_gib": peak_memory() / 2**30}), flush=True)


if __name__ == "__main__":
    main()
