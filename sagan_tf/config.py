"""The options of a training run: every name, type, default, help text and check, once."""

import dataclasses
import re

from sagan_tf.options import UserError, option

IMAGE_SIZES = (32, 64, 128, 256, 512)
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # and Keras's names of them
DATASET_KINDS = ("digits", "tfds", "folder", "archive", "records", "npz", "hdf5")
INCEPTION = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
# Metrics that can be had while training, and the values that each yields.
TRAINING_METRICS = {
    "is": ("is",),
    "fid": ("fid",),
    "intra_fid": ("intra_fid",),
    "kid": ("kid",),
    "precision_recall": ("precision", "recall"),
    "density_coverage": ("density", "coverage"),
    "agreement": ("agreement",),
}
AUGMENTATIONS = ("color", "translation", "cutout")


@dataclasses.dataclass(frozen=True)
class Config:
    """A training run. Defaults are the paper's, apart from the data and the length of the run."""

    workdir: str = option(
        "",
        "Directory of the run: configuration, checkpoints, event files, samples.",
        section="Run",
        may_change=True,
    )
    train_steps: int = option(
        1_000_000, "Generator steps of the whole run.", section="Run", minimum=1, may_change=True
    )
    seed: int = option(0, "Seed of weights, z, labels and the order of the data.", section="Run", minimum=0)
    dry_run: bool = option(
        False,
        "Print the resolved configuration, itself a flagfile, and stop.",
        section="Run",
        may_change=True,
    )

    dataset: str = option(
        "digits",
        "Images to learn from: digits, tfds:NAME, folder:PATH (one folder a class), archive:FILE (zip or tar"
        " of the same), records:DIR (made by tools/prepare_dataset.py), npz:FILE, hdf5:FILE.",
        section="Data",
    )
    split: str = option("train", "Split of the dataset.", section="Data")
    data_dir: str = option(
        "", "Where TFDS keeps its data; TFDS's own default if empty.", section="Data", may_change=True
    )
    bad_images: str = option(
        "refuse",
        "What to do about images that cannot be read: refuse to start, or skip them (each is named).",
        section="Data",
        choices=("refuse", "skip"),
    )
    conditional: bool = option(True, "Train on the classes; otherwise labels are ignored.", section="Data")
    flip: bool = option(False, "Mirror half of the real images (not in the original).", section="Data")
    random_crop: bool = option(
        False, "Cut real images out of slightly larger ones at random (not in the original).", section="Data"
    )
    balanced_classes: bool = option(
        False, "Show every class equally often, however many images it has.", section="Data"
    )
    augment: tuple[str, ...] = option(
        (),
        "Differentiable augmentation of real and fake images, for small datasets (not in the original);"
        " a list, empty for none.",
        section="Data",
        choices=AUGMENTATIONS,
    )
    in_memory: str = option(
        "auto",
        "Hold the decoded images in memory: yes, no, or auto (up to 1 GiB).",
        section="Data",
        choices=("auto", "yes", "no"),
        may_change=True,
    )

    image_size: int = option(128, "Height and width of the images.", section="Networks", choices=IMAGE_SIZES)
    z_dim: int = option(128, "Length of z.", section="Networks", minimum=1)
    generator_channels: int = option(64, "Base width of the generator.", section="Networks", minimum=1)
    discriminator_channels: int = option(
        64, "Base width of the discriminator.", section="Networks", minimum=1
    )
    generator_attention: tuple[int, ...] = option(
        (32,), "Resolutions after whose generator block attention stands; empty for none.", section="Networks"
    )
    discriminator_attention: tuple[int, ...] = option(
        (32,),
        "Resolutions after whose discriminator block attention stands; empty for none.",
        section="Networks",
    )
    attention_form: str = option(
        "original",
        "Form of the attention: the code of 2018 (pooled keys and values), or as in the paper's versions.",
        section="Networks",
        choices=("original", "paper_v2", "paper_v1"),
    )
    attention_key_ratio: int = option(
        8, "Queries and keys have 1/k of the channels (k in the paper).", section="Networks", minimum=1
    )
    generator_spectral_norm: bool = option(
        True, "Spectral normalization in the generator.", section="Networks"
    )
    discriminator_spectral_norm: bool = option(
        True, "Spectral normalization in the discriminator.", section="Networks"
    )
    sync_batch_norm: bool = option(
        True,
        "Batch statistics over all replicas; otherwise each replica's own, as in the original.",
        section="Networks",
    )

    batch_size: int = option(256, "Images in a batch, over all replicas.", section="Training", minimum=1)
    loss: str = option("hinge", "Adversarial loss.", section="Training", choices=("hinge",))
    discriminator_steps: int = option(
        1, "Discriminator steps for each generator step.", section="Training", minimum=1
    )
    accumulation_steps: int = option(
        1,
        "Parts in which a batch is computed, one after the other: less memory, and batch statistics of a part"
        " instead of the whole.",
        section="Training",
        minimum=1,
    )
    reuse_fakes: bool = option(
        True,
        "Let the generator step use the fakes of the last discriminator step; otherwise fresh ones, as in the"
        " original.",
        section="Training",
    )
    generator_learning_rate: float = option(
        1e-4, "Adam's learning rate of the generator.", section="Training", minimum=0
    )
    discriminator_learning_rate: float = option(
        4e-4, "Adam's learning rate of the discriminator.", section="Training", minimum=0
    )
    learning_rate_schedule: str = option(
        "constant",
        "Learning rates after warm-up: constant, as in the paper, or falling linearly to 0 at --train_steps.",
        section="Training",
        choices=("constant", "linear"),
    )
    warmup_steps: int = option(
        0, "Steps in which the learning rates rise from 0 (not in the paper).", section="Training", minimum=0
    )
    beta1: float = option(0.0, "Adam's beta1.", section="Training", minimum=0, maximum=0.9999)
    beta2: float = option(
        0.9,
        "Adam's beta2; the paper's. The original code has 0.999.",
        section="Training",
        minimum=0,
        maximum=0.999999,
    )
    ema_decay: float = option(
        0.999,
        "Decay of the average of the generator's weights, from which samples are drawn; 0 for none, as in the"
        " original.",
        section="Training",
        minimum=0,
        maximum=0.999999,
    )

    devices: str = option(
        "auto",
        "auto (every visible GPU, or the CPU), gpu:0,2 (these GPUs), cpu, or cpu:N (N replicas on the CPU).",
        section="Speed",
        may_change=True,
    )
    precision: str = option(
        "float32",
        "Precision of activations and convolutions.",
        section="Speed",
        choices=tuple(PRECISIONS),
    )
    xla: bool = option(
        False,
        "Compile with XLA: with one replica the whole iteration, with several what TensorFlow chooses (GPUs"
        " only). It draws other random numbers from the same seed.",
        section="Speed",
        may_change=True,
    )
    steps_per_call: int = option(
        10, "Steps that run between returns to Python.", section="Speed", minimum=1, may_change=True
    )

    checkpoint_every_steps: int = option(
        1000, "Interval of checkpoints.", section="Output", minimum=1, may_change=True
    )
    keep_checkpoints: int = option(
        5, "How many of the latest checkpoints are kept.", section="Output", minimum=1, may_change=True
    )
    keep_every_steps: int = option(
        0,
        "Checkpoints of steps that are multiples of this are kept for good; 0 for none.",
        section="Output",
        minimum=0,
        may_change=True,
    )
    summary_every_steps: int = option(
        100,
        "Interval of scalars in TensorBoard and metrics.jsonl.",
        section="Output",
        minimum=1,
        may_change=True,
    )
    diagnostics_every_steps: int = option(
        500,
        "Interval of singular values, gradient norms, logit histograms.",
        section="Output",
        minimum=1,
        may_change=True,
    )
    on_divergence: str = option(
        "stop",
        "What to do with a run that is lost (NaN, D has won, samples all alike, weights that blow up): stop,"
        " restore (go on from the last good checkpoint with other random numbers), or ignore it.",
        section="Output",
        choices=("stop", "restore", "ignore"),
        may_change=True,
    )
    sample_every_steps: int = option(
        1000, "Interval of sample grids (PNG and TensorBoard).", section="Output", minimum=1, may_change=True
    )

    evaluate_every_steps: int = option(
        0, "Interval of the EMA generator's scores; 0 for none.", section="Scores", minimum=0, may_change=True
    )
    evaluate_metrics: tuple[str, ...] = option(
        ("fid",), "What to measure.", section="Scores", choices=tuple(TRAINING_METRICS), may_change=True
    )
    evaluate_samples: int = option(
        10_000, "Generated images for a score.", section="Scores", minimum=2, may_change=True
    )
    inception: str = option(
        INCEPTION,
        "The network that sees the images: a TF-Hub handle, or the directory of a SavedModel (also one that"
        " sagan_tf.train_classifier made).",
        section="Scores",
        may_change=True,
    )
    best_metric: str = option(
        "fid",
        "The score by which the best checkpoints are kept, in best/.",
        section="Scores",
        choices=tuple(key for keys in TRAINING_METRICS.values() for key in keys),
        may_change=True,
    )
    keep_best_checkpoints: int = option(
        1, "How many of the best checkpoints are kept.", section="Scores", minimum=1, may_change=True
    )

    def check(self) -> None:
        """Refuses combinations that cannot work. Raises UserError."""
        if not self.workdir and not self.dry_run:
            raise UserError(
                "--workdir is missing: name the directory that is to hold the run, e.g. --workdir=runs/a"
            )
        kind, _, rest = self.dataset.partition(":")
        if kind not in DATASET_KINDS or (kind != "digits") != bool(rest):
            raise UserError(
                f"--dataset={self.dataset}: allowed are digits, "
                + ", ".join(f"{kind}:..." for kind in DATASET_KINDS if kind != "digits")
            )
        self._check_attention("generator_attention", [8 * 2**i for i in range(10)], self.image_size)
        coarsest = 8 if self.image_size == 32 else 4
        self._check_attention(
            "discriminator_attention", [coarsest * 2**i for i in range(10)], self.image_size // 2
        )
        names = [key for metric in self.evaluate_metrics for key in TRAINING_METRICS[metric]]
        if self.evaluate_every_steps and self.best_metric not in names:
            raise UserError(
                f"--best_metric={self.best_metric}: is not measured;"
                f" allowed with these --evaluate_metrics are {', '.join(names)}"
            )
        if self.warmup_steps and self.warmup_steps >= self.train_steps:
            raise UserError(f"--warmup_steps={self.warmup_steps}: must be less than --train_steps")
        if not re.fullmatch(r"auto|cpu(:[1-9]\d*)?|gpu:\d+(,\d+)*", self.devices):
            raise UserError(
                f"--devices={self.devices}: allowed are auto, cpu, cpu:N with N at least 1, and gpu:0,1"
            )

    def _check_attention(self, name: str, candidates, largest: int) -> None:
        allowed = [resolution for resolution in candidates if resolution <= largest]
        for resolution in getattr(self, name):
            if resolution not in allowed:
                raise UserError(
                    f"--{name}={resolution}: no such feature map at --image_size={self.image_size};"
                    f" allowed are {', '.join(map(str, allowed))}"
                )
