"""The runs behind the paper's figures and tables, and later questions, and what is said about them."""

import typing


class Experiment(typing.NamedTuple):
    """A comparison.

    Attributes:
      title: what is compared.
      claim: what is said about it.
      rows: pairs of a row's name and its flagfile, by scale. Experiments may share flagfiles.
      source: who says so.
    """

    title: str
    claim: str
    rows: dict[str, tuple[tuple[str, str], ...]]
    source: str = "Paper"


class Scale(typing.NamedTuple):
    """The size of the runs.

    Attributes:
      folder: the folder of the flagfiles in `flags`.
      samples: number of generated images for the final scores.
      curve_samples: number of generated images for each score while training.
      curve_points: number of scores while training.
      as_paper: the row of full size that a flagfile stands for, if it has another name.
    """

    folder: str
    samples: int
    curve_samples: int
    curve_points: int
    as_paper: dict[str, str]


# Feature maps of half and a quarter of the image's size: 16 and 8 at 32x32, 64 and 32 at 128x128.
_AT_32 = {
    "attention_8": "attention_32",
    "attention_16": "attention_64",
    "residual_8": "residual_32",
    "residual_16": "residual_64",
}
SCALES = {
    "full": Scale("imagenet", 50_000, 10_000, 50, {}),
    "small": Scale("cifar10", 10_000, 2_000, 10, _AT_32),
    "digits": Scale("digits", 5_000, 1_000, 9, _AT_32),
}

# The paper's scores (tables 1 and 2: ImageNet at 128x128, 50,000 samples), by flagfile.
PAPER = {
    "sn_gd_ttur": {"fid": 22.96, "is": 42.87},
    "attention_8": {"fid": 22.98, "is": 43.15},
    "attention_16": {"fid": 22.14, "is": 45.94},
    "attention_32": {"fid": 18.28, "is": 51.43},
    "attention_64": {"fid": 18.65, "is": 52.52, "intra_fid": 83.7},
    "residual_8": {"fid": 42.13, "is": 23.17},
    "residual_16": {"fid": 22.40, "is": 44.49},
    "residual_32": {"fid": 27.33, "is": 38.50},
    "residual_64": {"fid": 28.82, "is": 38.96},
    "acgan": {"is": 28.5, "intra_fid": 260.0},
    "sngan_projection": {"fid": 27.62, "is": 36.8, "intra_fid": 92.4},
}

_FIGURE_3 = (("SN on D", "sn_d"), ("SN on G/D", "sn_gd"), ("SN on G/D + TTUR", "sn_gd_ttur"))


def _table_1(*resolutions: int) -> tuple[tuple[str, str], ...]:
    blocks = [
        (f"{kind} at {resolution}", f"{name}_{resolution}")
        for kind, name in (("attention", "attention"), ("residual block", "residual"))
        for resolution in resolutions
    ]
    return (("neither", "sn_gd_ttur"), *blocks)


def _around(name: str, before=(), after=()) -> dict[str, tuple[tuple[str, str], ...]]:
    """The same rows at both scales, with SAGAN, under this name, between them."""
    return {
        scale: (*before, (name, row), *after)
        for scale, row in (("full", "attention_32"), ("small", "attention_16"))
    }


_BASELINES = (("AC-GAN", "acgan"), ("SNGAN-projection", "sngan_projection"))
EXPERIMENTS = {
    "figure3": Experiment(
        "Figure 3: spectral normalization on D, on G and D, and TTUR",
        "SN on D alone at 1:1 collapses very early; SN on G and D is stable, but worse again from 260,000 of"
        " a million iterations on; with TTUR it improves to the end.",
        {"full": _FIGURE_3, "small": _FIGURE_3, "digits": _FIGURE_3},
    ),
    "table1": Experiment(
        "Table 1: attention, and a residual block with as many parameters in its place",
        "Attention at 32 and 64 (of 128) is better than none, at 8 and 16 hardly; residual blocks are worse"
        " than attention at the same place.",
        {"full": _table_1(8, 16, 32, 64), "small": _table_1(8, 16), "digits": _table_1(16)},
    ),
    "table2": Experiment(
        "Table 2: AC-GAN, SNGAN-projection, SAGAN",
        "SAGAN is better than SNGAN-projection, and that better than AC-GAN.",
        {
            "full": (*_BASELINES, ("SAGAN", "attention_64")),
            "small": (*_BASELINES, ("SAGAN", "attention_16")),
        },
    ),
    "ratios": Experiment(
        "D steps for each G step",
        "With SN on G and D and TTUR one is enough: better for the same time. No figures are given.",
        _around("1:1", after=(("2:1", "d_steps_2"), ("5:1", "d_steps_5"))),
    ),
    "keys": Experiment(
        "Key ratio: channels of queries and keys, C/k",
        "k = 1, 2 and 4 gain nothing over 8. No figures are given.",
        _around("k = 8", before=tuple((f"k = {k}", f"keys_c_over_{k}") for k in (1, 2, 4))),
    ),
    "forms": Experiment(
        "Forms of attention: the code's, and those of the paper's versions",
        "The published scores are the code's. No figures are given.",
        _around(
            "code",
            after=(("paper, version 2", "attention_paper_v2"), ("paper, version 1", "attention_paper_v1")),
        ),
    ),
    "beta2": Experiment(
        "Adam's beta2",
        "The paper has 0.9, the code 0.999. No figures are given.",
        _around("0.9", after=(("0.999", "beta2_0.999"),)),
    ),
    "losses": Experiment(
        "The loss: hinge, and R3GAN's with its penalties",
        "training is stable and scores are better, with other networks.",
        {"small": (("hinge", "sn_gd_ttur"), ("relativistic, R1 and R2", "relativistic"))},
        source="Huang et al. 2024",
    ),
    "few_images": Experiment(
        "A thousand images: D steps for each G step, with and without DiffAugment",
        "with few images D learns them by heart, and G gets worse again; differentiable augmentation of real"
        " and fake images helps.",
        {
            "small": tuple(
                (f"{ratio}:1{note}", f"few_images{name}{steps}")
                for note, name in (("", ""), (", DiffAugment", "_augment"))
                for ratio, steps in ((1, ""), (2, "_d_steps_2"), (5, "_d_steps_5"))
            )
        },
        source="Zhao et al. 2020",
    ),
    "successors": Experiment(
        "Later recipes",
        "FID 12.8 and IS 69.5 by mmgeneration, FID 8.7 and IS 98.8 by BigGAN's paper.",
        {
            "full": (
                ("SAGAN", "attention_64"),
                ("recipe of FID 12.8", "mmgeneration"),
                ("BigGAN", "biggan"),
            ),
            "small": (("SAGAN", "attention_16"), ("BigGAN", "biggan")),
        },
        source="Reported",
    ),
}


def flagfiles(names: typing.Iterable[str], scale: str) -> list[str]:
    """The flagfiles of several experiments, in order, each once."""
    return list(dict.fromkeys(row for name in names for _, row in EXPERIMENTS[name].rows.get(scale, ())))


def paper_scores(row: str, scale: str) -> dict[str, float]:
    """The paper's scores by metric, for the row of full size that a flagfile stands for."""
    return PAPER.get(SCALES[scale].as_paper.get(row, row), {})
