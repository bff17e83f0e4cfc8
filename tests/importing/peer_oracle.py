"""Random networks of other projects in plain PyTorch, float64: they make the files of tests/golden/peers.

Written from descriptions of these projects: each form is a dictionary of their names and habits. A network is
run once: layers draw their weights when they are first asked for, and keep them in a state_dict under the
project's names. `python -m tests.importing.peer_oracle` writes all files anew; tests of training use the
networks themselves.
"""

import pathlib

import numpy as np
import torch
from torch.nn import functional

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "peers"
CLASSES = 3

_BIGGAN = {
    "sn": "u0",
    "block": "blocks.{i}.0",
    "conv_1": "conv1",
    "conv_2": "conv2",
    "shortcut": "conv_sc",
    "norm": "bn{n}",
    "gain": "gain",
    "shift": "bias",
    "mean": "stored_mean",
    "variance": "stored_var",
    "attention": "blocks.{i}.1",
    "projections": ("theta", "phi", "g", "o"),
    "gamma": "gamma",
    "dense": "linear",
    "shared": "shared",
    "last_norm": "output_layer.0",
    "last_gain": "gain",
    "last_conv": "output_layer.2",
    "head": "linear",
    "embed": "embed",
    "epsilon": 1e-5,
    "offset": 1.0,
    "order": "embedding first",
    "activated": False,
}
_MMGEN = _BIGGAN | {
    "sn": "torch",
    "block": "conv_blocks.{b}",
    "conv_1": "conv_1.conv",
    "conv_2": "conv_2.conv",
    "shortcut": "shortcut.conv",
    "norm": "norm_{n}",
    "gain": "weight_embedding",
    "shift": "bias_embedding",
    "mean": "norm.running_mean",
    "variance": "norm.running_var",
    "attention": "conv_blocks.{b}",
    "projections": ("theta.conv", "phi.conv", "g.conv", "o.conv"),
    "dense": "noise2feat",
    "last_norm": "to_rgb.bn",
    "last_gain": "weight",
    "last_conv": "to_rgb.conv",
    "first": "from_rgb",
    "head": "decision",
    "embed": "proj_y",
    "epsilon": 1e-4,
    "tables": "sn",
    "last_mean": "running_mean",
    "last_variance": "running_var",
}
_MMGEN_BIGGAN = _MMGEN | {
    "conv_1": "conv1.conv",
    "conv_2": "conv2.conv",
    "norm": "bn{n}",
    "gain": "gain",
    "shift": "bias",
    "mean": "bn.running_mean",
    "variance": "bn.running_var",
    "shared": "shared_embedding",
    "last_norm": "output_layer.bn",
    "last_conv": "output_layer.conv",
    "first": "",
    "epsilon": 1e-5,
    "tables": "plain",
}
_STUDIO = _MMGEN_BIGGAN | {
    "block": "blocks.{b}.0",
    "conv_1": "conv2d1",
    "conv_2": "conv2d2",
    "shortcut": "conv2d0",
    "attention": "blocks.{b}.0",
    "projections": ("conv1x1_theta", "conv1x1_phi", "conv1x1_g", "conv1x1_attn"),
    "gamma": "sigma",
    "dense": "linear0",
    "shared": "shared",
    "last_norm": "bn4",
    "last_conv": "conv2d5",
    "head": "linear1",
    "embed": "embedding",
    "epsilon": 1e-4,
    "tables": "one-hot",
    "activated": True,
}
_DEEPMIND = _BIGGAN | {
    "sn": "ivclab",
    "block": "gblock_{i}",
    "conv_1": "conv0",
    "conv_2": "conv1",
    "norm": "hyperbn_{n}",
    "gain": "gamma",
    "shift": "beta",
    "mean": "crossreplicabn.standing_means",
    "variance": "crossreplicabn.standing_vars",
    "attention": "attention",
    "projections": ("theta", "phi", "g", "o_conv"),
    "dense": "g_z.g_linear",
    "shared": "linear",
    "last_norm": "scaledcrossreplicabn",
    "last_gain": "weight",
    "last_conv": "conv_2d",
    "last_mean": "standing_means",
    "last_variance": "standing_vars",
    "epsilon": 1e-4,
    "order": "z first",
    "positions": "first",
}
_SMALL = {"size": 32, "channels": 1, "multiples": (4, 4, 4), "d": ((4, 4, 4, 4), 2), "attention_at": 16}
_LARGE = {"size": 128, "channels": 1, "multiples": (16, 8, 4, 2, 1), "attention_at": 64}
_PROJECTED = {"embedding": 5, "chunks": True}

FORMS = {
    "biggan_tables": _BIGGAN | _SMALL,
    "biggan_shared": _BIGGAN | _SMALL | _PROJECTED,
    "mmgen_sagan": _MMGEN | _SMALL,
    "mmgen_recipe": _MMGEN | _SMALL | {"tables": "plain", "epsilon": 1e-5},
    "mmgen_sngan": _MMGEN | _SMALL | {"g_sn": "none", "tables": "plain", "attention_at": 0},
    "mmgen_biggan_ajbrock": _MMGEN_BIGGAN | _SMALL | _PROJECTED | {"sn": "u0"},
    "mmgen_biggan_torch": _MMGEN_BIGGAN | _SMALL | _PROJECTED,
    "studio_sagan": _STUDIO | _SMALL,
    "studio_old": _STUDIO | _SMALL | {"tables": "sn", "gain": "embed0", "shift": "embed1"},
    "studio_biggan": _STUDIO | _SMALL | _PROJECTED,
    "studio_sngan": _STUDIO | _SMALL | {"g_sn": "none", "attention_at": 0},
    "ivclab": _DEEPMIND | _LARGE | _PROJECTED,
    "tfhub": _DEEPMIND
    | _LARGE
    | _PROJECTED
    | {
        "sn": "tfhub",
        "block": "Generator/GBlock_{i}",
        "norm": "HyperBN_{n}",
        "mean": "accumulated_mean",
        "variance": "accumulated_var",
        "attention": "Generator/attention",
        "gamma": "gamma/ema_b999900",
        "dense": "Generator/G_Z/G_linear",
        "last_norm": "Generator/ScaledCrossReplicaBN",
        "last_gain": "gamma/ema_b999900",
        "last_shift": "beta/ema_b999900",
        "last_conv": "Generator/conv_2d",
        "last_mean": "accumulated_mean",
        "last_variance": "accumulated_var",
        "channels": 2,  # a layer of one output has one singular value: no other spectral norm can be had
        "attention_at": 8,
    },
    "pfnet": _BIGGAN
    | _LARGE
    | {
        "sn": "chainer",
        "block": "block{i+2}",
        "conv_1": "c1",
        "conv_2": "c2",
        "shortcut": "c_sc",
        "norm": "b{n}",
        "gain": "gammas",
        "shift": "betas",
        "mean": "avg_mean",
        "variance": "avg_var",
        "dense": "l1",
        "last_norm": "b7",
        "last_gain": "gamma",
        "last_shift": "beta",
        "last_conv": "l7",
        "last_mean": "avg_mean",
        "last_variance": "avg_var",
        "epsilon": 2e-5,
        "offset": 0.0,
        "attention_at": 0,
        "scale": 0.1,
    },
}


class Layers:
    """The layers of a network, by the form's names; `state` is its state_dict, in float32.

    `values` are the same numbers in float64, in the same order: parameters of training.
    """

    def __init__(self, form, seed: int, sn: str):
        self.form, self.sn, self.state, self.values = form, sn, {}, {}
        self.separator = "/" if sn in ("tfhub", "chainer") else "."
        self.random = np.random.default_rng(seed)

    def join(self, *parts):
        return self.separator.join(part for part in parts if part)

    def get(self, key, shape, scale=0.3, base=0.0):
        if key not in self.state:
            drawn = base + scale * self.random.standard_normal(shape)
            self.state[key] = torch.tensor(drawn, dtype=torch.float32)
            self.values[key] = self.state[key].double()
        return self.values[key]

    def positive(self, key, shape):
        if key not in self.state:
            self.state[key] = torch.tensor(0.5 + self.random.random(shape), dtype=torch.float32)
            self.values[key] = self.state[key].double()
        return self.values[key]

    def weight(self, module, shape, bias=True, sn=None):
        """A kernel (out, in, ...) as it is used, and its bias."""
        scale = self.form.get("scale", 0.3)
        sn, separator = sn or self.sn, self.separator
        names = {"tfhub": "w/ema_b999900", "chainer": "W", "torch": "weight_orig", "ivclab": "weight_orig"}
        b = {"tfhub": "b/ema_b999900", "chainer": "b"}.get(sn, "bias")
        bias = self.get(f"{module}{separator}{b}", shape[:1]) if bias and sn in ("torch", "ivclab") else bias
        key = f"{module}{separator}{names.get(sn, 'weight')}"
        if sn == "tfhub":  # (height, width, in, out), or (in, out)
            axes = (3, 2, 0, 1) if len(shape) == 4 else (1, 0)
            stored = tuple(np.transpose(np.broadcast_to(0, shape), np.argsort(axes)).shape)
            w = self.get(key, stored, scale).permute(axes)
        else:
            w = self.get(key, shape, scale)
        if bias is True:
            bias = self.get(f"{module}{separator}{b}", shape[:1])
        return w / self._sigma(module, w, sn), bias if torch.is_tensor(bias) else None

    def _sigma(self, module, w, sn):
        if sn in ("none", "chainer"):
            return 1.0
        matrix = (
            w.permute(0, 2, 3, 1).flatten(1) if sn in ("ivclab", "tfhub") and w.dim() == 4 else w.flatten(1)
        )
        constant = matrix.detach()
        if sn in ("u0", "tfhub"):
            epsilon = 1e-4 if sn == "tfhub" else 0.0
            u = self.get(f"{module}{self.separator}u0", (1, len(w)), 1.0).detach()
            v = u @ constant
            v = v / (v.norm() + epsilon)
            u = v @ constant.T
            u = u / (u.norm() + epsilon)
            if sn == "u0":
                self.get(f"{module}.sv0", (1,))
            return (v @ matrix.T @ u.T)[0, 0]
        if f"{module}.weight_u" not in self.state:
            u = torch.tensor(self.random.standard_normal(len(w)))
            for _ in range(4):
                v = functional.normalize(constant.T @ u, dim=0)
                u = functional.normalize(constant @ v, dim=0)
            for key, value in (("u", u), ("v", v)):
                self.state[f"{module}.weight_{key}"] = value.float()
                self.values[f"{module}.weight_{key}"] = value.float().double()
        u, v = (self.values[f"{module}.weight_{key}"] for key in "uv")
        return u @ matrix @ v

    def conv(self, module, x, filters, size=3, bias=True):
        w, b = self.weight(module, (filters, x.shape[1], size, size), bias)
        return functional.conv2d(x, w, b, padding=size // 2)

    def dense(self, module, x, units):
        w, b = self.weight(module, (units, x.shape[1]))
        return functional.linear(x, w, b)

    def attend(self, x, here):
        channels, (query, key, value, back) = x.shape[1], self.form["projections"]
        few, half = max(1, channels // 8), max(1, channels // 2)
        q = self.conv(self.join(here, query), x, few, 1, False).flatten(2)
        k = functional.max_pool2d(self.conv(self.join(here, key), x, few, 1, False), 2).flatten(2)
        v = functional.max_pool2d(self.conv(self.join(here, value), x, half, 1, False), 2).flatten(2)
        mixed = (v @ torch.softmax(q.transpose(1, 2) @ k, 2).transpose(1, 2)).unflatten(2, x.shape[2:])
        shape = (1,) if self.sn in ("ivclab", "tfhub") or self.form["gamma"] == "sigma" else ()
        gamma = self.get(self.join(here, self.form["gamma"]), shape, base=0.7)
        return gamma * self.conv(self.join(here, back), mixed, channels, 1, False) + x


class Generator(Layers):
    """z (B, z_dim), labels (B,) -> images (B, 3, H, W). `truncation` chooses among 50 sets of statistics."""

    def __init__(self, form, seed=0):
        super().__init__(form, seed, form.get("g_sn", form["sn"]))
        self.blocks = len(form["multiples"])
        self.z_dim = 2 * (self.blocks + 1) if form.get("chunks") else 6

    def __call__(self, z, y, truncation=1.0, training=False):
        form, self.training = self.form, training
        self.row = round(truncation * 50) - 1
        condition = [y] * self.blocks
        if form.get("embedding"):
            shared = self._shared()
            z, *chunks = z.split(2, 1)
            pairs = [(shared[y], c) if form["order"] == "embedding first" else (c, shared[y]) for c in chunks]
            condition = [torch.cat(pair, 1) for pair in pairs]
        channels = form["channels"] * form["multiples"][0]
        x = self.dense(form["dense"], z, 16 * channels)
        x = (
            x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
            if form.get("positions")
            else x.unflatten(1, (-1, 4, 4))
        )
        b = 0
        for i, multiple in enumerate(form["multiples"]):
            x = self._block(x, form["channels"] * multiple, self._place("block", i, b), condition[i])
            b += 1
            if x.shape[2] == form["attention_at"]:
                x, b = self.attend(x, self._place("attention", i, b)), b + 1
        last = form["last_norm"]
        x = self._normalize(x, last + "bn" if self.sn == "tfhub" else last, "last_")
        shape = (1, 1, 1, x.shape[1]) if self.sn == "tfhub" else x.shape[1:2]
        gain = self.get(self.join(last, form["last_gain"]), shape, base=1.0).reshape(1, -1, 1, 1)
        shift = self.get(self.join(last, form.get("last_shift", "bias")), shape).reshape(1, -1, 1, 1)
        return torch.tanh(self.conv(form["last_conv"], torch.relu(x * gain + shift), 3))

    def _shared(self):
        """The embedding of the classes, without spectral normalization."""
        form = self.form
        if self.sn == "tfhub":
            return self.get(f"{form['shared']}/w/ema_b999900", (CLASSES, form["embedding"]))
        return self.get(f"{form['shared']}.weight", (CLASSES, form["embedding"]))

    def _place(self, kind, i, b):
        text = self.form[kind].replace("{i+2}", str(i + 2)).format(i=i, b=b)
        return text.removesuffix("_0") if self.sn in ("ivclab", "tfhub") else text

    def _block(self, x, filters, here, condition):
        form = self.form
        h = torch.relu(self._norm(x, here, 1, condition))
        h = self.conv(self.join(here, form["conv_1"]), functional.interpolate(h, scale_factor=2), filters)
        h = torch.relu(self._norm(h, here, 2, condition))
        h = self.conv(self.join(here, form["conv_2"]), h, filters)
        x = functional.interpolate(x, scale_factor=2)
        return h + self.conv(self.join(here, form["shortcut"]), x, filters, 1)

    def _norm(self, x, here, n, condition):
        form, channels = self.form, x.shape[1]
        name = (
            form["norm"].format(n=n - 1).removesuffix("_0")
            if self.sn in ("ivclab", "tfhub")
            else (form["norm"].format(n=n))
        )
        norm = self.join(here, name)
        x = self._normalize(x, norm.replace("HyperBN", "CrossReplicaBN") if self.sn == "tfhub" else norm)
        gain, shift = (
            self._affine(self.join(norm, form[name]), channels, condition) for name in ("gain", "shift")
        )
        offset = 1.0 if form.get("embedding") else form["offset"]
        return x * (offset + gain[:, :, None, None]) + shift[:, :, None, None]

    def _affine(self, module, channels, condition):
        form = self.form
        if form.get("embedding"):
            return functional.linear(condition, self.weight(module, (channels, condition.shape[1]), False)[0])
        tables = form.get("tables", "plain")
        sn = self.sn if tables in ("sn", "one-hot") or self.sn == "chainer" else "none"
        if tables == "one-hot":
            return self.weight(module, (channels, CLASSES), False, sn)[0].T[condition]
        base = 1.0 if not form["offset"] and module.endswith(form["gain"]) else 0.0
        if base:
            return self.get(f"{module}/W", (CLASSES, channels), base=1.0)[condition]
        return self.weight(module, (CLASSES, channels), False, sn)[0][condition]

    def _normalize(self, x, module, prefix=""):
        form, n = self.form, x.shape[1]
        mean, variance = (form.get(prefix + name, form[name]) for name in ("mean", "variance"))
        shape = (50, n) if self.sn == "ivclab" else (n,)
        mean = self.get(self.join(module, mean), shape)
        variance = self.positive(self.join(module, variance), shape)
        if self.sn == "ivclab":
            mean, variance = mean[self.row], variance[self.row]
        elif self.sn == "chainer":
            self.state[f"{module}/N"] = torch.tensor(5)
        elif not mean_of_biggan(form):
            self.state[f"{module}.num_batches_tracked"] = torch.tensor(5)
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        view = (1, -1, 1, 1)
        return (x - mean.view(view)) / torch.sqrt(variance.view(view) + form["epsilon"])


def mean_of_biggan(form):
    return form["mean"] in ("stored_mean", "accumulated_mean")


class Discriminator(Layers):
    """Images (B, 3, H, W), labels (B,) -> logits (B,)."""

    def __init__(self, form, seed=1):
        super().__init__(form, seed, form["sn"])

    def __call__(self, x, y):
        form, b = self.form, 0
        multiples, downsampling = form["d"]
        for i, multiple in enumerate(multiples):
            first = form.get("first") if i == 0 else ""
            here = first or form["block"].format(i=i, b=b)
            b += not first
            x = self._block(x, form["channels"] * multiple, here, i == 0, i < downsampling)
            if x.shape[2] == form["attention_at"] and i < downsampling:
                x, b = self.attend(x, form["attention"].format(i=i, b=b)), b + 1
        h = torch.relu(x).sum((2, 3))
        embedding = self.weight(form["embed"], (CLASSES, h.shape[1]), False)[0]
        return self.dense(form["head"], h, 1)[:, 0] + (h * embedding[y]).sum(1)

    def _block(self, x, filters, here, first, down):
        form, same = self.form, x.shape[1] == filters
        h = x if first else torch.relu(x)
        x = h if form["activated"] else x
        h = self.conv(self.join(here, form["conv_1"]), h, filters)
        h = self.conv(self.join(here, form["conv_2"]), torch.relu(h), filters)
        if down or not same:
            x = self.conv(self.join(here, form["shortcut"]), x, filters, 1)
        return functional.avg_pool2d(h + x, 2) if down else h + x


def make(form):
    """A generator, a discriminator or None, inputs and outputs (NCHW), all settled."""
    generator, random = Generator(form), np.random.default_rng(5)
    z = torch.tensor(random.standard_normal((2, generator.z_dim)).astype(np.float32))
    y = torch.tensor([2, 0])
    arrays = {"z": z, "y": y, "images": generator(z.double(), y)}
    if form["sn"] == "ivclab":
        arrays["half"] = generator(z.double(), y, truncation=0.5)
    if "d" not in form:
        return generator, None, arrays
    discriminator = Discriminator(form)
    x = torch.tensor(random.uniform(-1, 1, (2, 3, form["size"], form["size"])).astype(np.float32))
    arrays |= {"x": x, "logits": discriminator(x.double(), y)}
    return generator, discriminator, arrays


def main():
    """Writes every form's files."""
    FOLDER.mkdir(exist_ok=True)
    for name, form in FORMS.items():
        generator, discriminator, arrays = make(form)
        legacy = {"_use_new_zipfile_serialization": not name.startswith("biggan")}
        if form["sn"] in ("tfhub", "chainer"):
            np.savez(FOLDER / f"{name}_G.npz", **{key: v.numpy() for key, v in generator.state.items()})
        else:
            torch.save(generator.state, FOLDER / f"{name}_G.pth", **legacy)
        if discriminator is not None:
            torch.save({"state_dict": discriminator.state}, FOLDER / f"{name}_D.pth", **legacy)
        kept = {key: value.float().numpy() for key, value in arrays.items()}
        for key in {"images", "half"} & set(kept):
            kept[key] = kept[key][..., :: form["size"] // 32, :: form["size"] // 32]  # smaller files
        np.savez(FOLDER / f"{name}.npz", **kept | {"y": arrays["y"].numpy()})


if __name__ == "__main__":
    main()
