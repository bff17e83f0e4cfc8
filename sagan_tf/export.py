"""Exports a run's generator as a SavedModel for TF Serving; also as a .keras file and as ONNX.

Examples:
  # Version 1 of a model; the same command again writes version 2
  python -m sagan_tf.export --workdir=runs/digits --export_dir=models/digits

  # The best checkpoint, for Keras and ONNX as well
  python -m sagan_tf.export --workdir=runs/digits --checkpoint=best --also=keras,onnx --export_dir=models/a
"""

import dataclasses
import os
import re

from sagan_tf.runs.choice import choose as choose_checkpoint
from sagan_tf.runs.config import PRECISIONS, batch_statistics_option
from sagan_tf.system import class_names, cli
from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option
from sagan_tf.system.run_directory import RunFiles, check_is_run, check_not_of_a_run

_CLASSES_FILE = "labels.txt"
_CARD_FILE = "MODEL_CARD.md"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    workdir: str = option(
        "", "Directory of the run.", section="What is exported", is_path=True, common=True, required=True
    )
    checkpoint: str = option(
        "latest",
        "The run's checkpoint: latest, best, or a step.",
        section="What is exported",
        common=True,
    )
    batch_statistics: str = batch_statistics_option("What is exported")

    export_dir: str = option(
        "",
        "Directory of the model, which is not the run's. Each export is a new version in it: 1, 2, ...",
        section="As what",
        is_path=True,
        common=True,
        required=True,
    )
    model_name: str = option(
        "",
        "Name that the model is served by; if empty, that of --export_dir.",
        section="As what",
        common=True,
    )
    precision: str = option(
        "float32",
        "Precision of the export's computations, whatever the run was trained in.",
        section="As what",
        choices=tuple(PRECISIONS),
        common=True,
    )
    weights_dtype: str = option(
        "float32",
        "Type of the stored weights. 16 bits halve the files and round the weights. With --precision="
        "bfloat16 kernels are stored in bfloat16, unless they are normalized in every call.",
        section="As what",
        choices=("float32", "bfloat16", "float16"),
    )
    bake_spectral_norm: bool = option(
        True, "Divide the weights by their spectral norm once and not in every call.", section="As what"
    )
    warmup_batch_sizes: tuple[int, ...] = option(
        (1,), "Rows of the warm-up requests; empty for none.", section="As what", minimum=1, maximum=4096
    )

    also: tuple[str, ...] = option(
        (),
        "Other formats to write as well: generator.keras (for Keras with this package), generator.onnx (for"
        " ONNX runtimes).",
        section="As what",
        choices=("keras", "onnx"),
        common=True,
    )

    intended_use: str = option("", "What the model is meant for.", section="Model card")
    license: str = option("", "Licence of the weights.", section="Model card")

    def check(self) -> None:
        """Refuses what cannot work. Raises UserError."""
        if not self.workdir:
            raise UserError("--workdir is missing: name the directory of a run")
        if not self.export_dir:
            raise UserError("--export_dir is missing: name the directory of the model, e.g. models/digits")
        check_not_of_a_run("export_dir", self.export_dir)
        name = served_name(self)
        if not re.fullmatch("[A-Za-z0-9_.-]+", name):
            raise UserError(
                f"--model_name={name}: is part of URLs; allowed are letters, digits, '_', '.' and '-'"
            )
        if self.also and (self.precision, self.weights_dtype) != ("float32", "float32"):
            raise UserError(
                f"--also={self.also[0]}: is in float32 only; leave --precision and --weights_dtype at float32"
            )


def served_name(options: Options) -> str:
    """The name that the model is served by."""
    return options.model_name or os.path.basename(os.path.abspath(options.export_dir))


def check_places(options: Options, given) -> None:
    """Refuses what is missing, before TensorFlow is imported. Raises UserError."""
    del given
    check_is_run(options.workdir)
    choose_checkpoint(options.workdir, options.checkpoint)


def main(options: Options, given) -> int:
    """Exports. Returns the exit code."""
    del given
    from sagan_tf.runs import restoring
    from sagan_tf.serving import server_files, versions

    run = restoring.restore(
        options.workdir, options.checkpoint, ema=True, batch_statistics=options.batch_statistics
    )
    with versions.new_version(options.export_dir) as (version, directory):
        write_version(options, run, version, directory)
    for path in server_files.write_server_files(options.export_dir, served_name(options)):
        print(f"wrote {path}")
    final = os.path.join(options.export_dir, str(version))
    print(f"exported step {run.step} as {final} ({_size(final) / 2**20:.1f} MiB); serve it with one of")
    print(server_files.commands(options.export_dir))
    return 0


def write_version(options: Options, run, version: int, directory: str) -> None:
    """Writes all of a version into a directory. Raises UserError."""
    from sagan_tf.networks.inference import inference_copy
    from sagan_tf.serving import other_formats
    from sagan_tf.serving.module import ServedGenerator
    from sagan_tf.serving.warmup import write_warmup

    network = inference_copy(
        run.generator, bake=options.bake_spectral_norm, dtype=PRECISIONS[options.precision]
    )
    class_file = os.path.join(directory, _CLASSES_FILE)
    class_names.write(class_file, _class_names(run))
    try:
        served = ServedGenerator(network, class_file, options.weights_dtype)
    except ValueError as error:
        raise UserError(f"--weights_dtype={options.weights_dtype}: {error}") from error
    served.save(directory)
    os.remove(class_file)  # now a copy of it is in the assets
    for kind in options.also:
        other_formats.write(kind, network, directory)
    if options.warmup_batch_sizes:
        write_warmup(
            directory, served_name(options), served.inputs, options.warmup_batch_sizes, network.classes
        )
    with open(os.path.join(directory, _CARD_FILE), "w", encoding="utf-8") as file:
        file.write(_card(options, run, version))


def _class_names(run) -> tuple[str, ...]:
    return run.class_names if run.generator.classes else ()


def _card(options: Options, run, version: int) -> str:
    from sagan_tf.evaluation import results
    from sagan_tf.serving.model_card import model_card

    lines = results.read(RunFiles(options.workdir).scores)
    exported = results.EXPORTED | {"step": run.step, "batch_statistics": options.batch_statistics}
    scores = [line for line in lines if exported.items() <= line.items()]
    return model_card(
        f"{served_name(options)}, version {version}",
        _facts(options, run),
        scores,
        _class_names(run),
        intended_use=options.intended_use,
        license=options.license,
    )


def _facts(options: Options, run) -> dict[str, dict[str, str]]:
    """The tables of the model card."""
    import sagan_tf

    config, network = run.config, run.generator
    rates = (config.generator_learning_rate, config.discriminator_learning_rate)
    attention = ", ".join(f"{size}x{size}" for size in network.attention)
    form = "a residual block instead" if network.residual_layers else network.attention_form
    return {
        "Architecture": {
            "kind": "generator of a Self-Attention GAN (Zhang et al. 2018, arXiv:1805.08318)",
            "images": f"{network.image_size}x{network.image_size}, RGB",
            "parameters": f"{sum(int(v.value.shape.num_elements()) for v in network.trainable_variables):,}",
            "base channels": str(network.channels),
            "length of z": str(network.z_dim),
            "attention at": f"{attention} ({form})" if attention else "none",
            "classes": str(network.classes) if network.classes else "none, unconditional",
        },
        "Training": {
            "data": f"{config.dataset}, split {config.split}",
            "steps": f"{run.step:,} of {config.train_steps:,}, batches of {config.batch_size}",
            "loss": f"{config.loss}; {config.discriminator_steps} discriminator step(s) a step",
            "learning rates": f"{rates[0]:g} (generator), {rates[1]:g} (discriminator)",
            "precision": config.precision,
            "weights": f"moving average, decay {config.ema_decay}" if config.ema_decay else "the last",
            "seed": str(config.seed),
        },
        "This export": {
            "batch statistics": f"{options.batch_statistics}, fixed",
            "computes in": options.precision,
            "weights stored as": _stored_as(options, network),
            "spectral normalization": _normalization(options, network),
            "made by": f"sagan_tf {sagan_tf.__version__}",
        },
    }


def _normalization(options: Options, network) -> str:
    if not network.spectral_norm:
        return "none"
    return "baked in" if options.bake_spectral_norm else "in every call"


def _stored_as(options: Options, network) -> str:
    if options.precision == "bfloat16" and _normalization(options, network) != "in every call":
        return f"kernels as bfloat16, all else as {options.weights_dtype}"
    return options.weights_dtype


def _size(directory: str) -> int:
    """Bytes of all files below a directory."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names]
    return sum(os.path.getsize(path) for path in paths)


def console() -> None:
    """The command `sagan-export`."""
    cli.run(main, Options, __doc__, program="sagan_tf.export", check_places=check_places)


if __name__ == "__main__":
    console()
