"""From a configuration to the objects of a run."""

import dataclasses

import keras
import tensorflow as tf

from sagan_tf.networks import Discriminator, Generator
from sagan_tf.runs.config import AUTO, NO_DATASET, PRECISIONS, Config
from sagan_tf.system import runtime
from sagan_tf.system.errors import UserError
from sagan_tf.system.processor import lacks_bfloat16, onednn_limit
from sagan_tf.training import losses
from sagan_tf.training.compilation import make_train_function
from sagan_tf.training.draws import RESTORE_SEED
from sagan_tf.training.objective import Objective
from sagan_tf.training.optimizer import FusedAdam
from sagan_tf.training.schedules import Schedule
from sagan_tf.training.state import State
from sagan_tf.training.step import Alternation

_MIN_STATISTICS_MOMENTUM = 0.99  # batch statistics are averaged over about 100 steps, or over more


def check_replicas(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError if so many replicas cannot share the work."""
    replicas, parts = strategy.num_replicas_in_sync, config.accumulation_steps
    if config.batch_size % (replicas * parts):
        accumulated = f" times --accumulation_steps, {parts}" if parts > 1 else ""
        raise UserError(
            f"--batch_size={config.batch_size}: must be a multiple of the number of replicas,"
            f" {replicas}{accumulated}"
        )


def open_dataset(config: Config, needs_labels: bool = False):
    """Opens the dataset of a run, where the run found it if it is still there; see `sagan_tf.data`.

    Args:
      config: of the run.
      needs_labels: refuse images that have no label.

    Raises:
      UserError: the run has no dataset, or it cannot be opened.
    """
    from sagan_tf import data
    from sagan_tf.runs import training_data

    if config.dataset == NO_DATASET:
        raise UserError(
            "--dataset is missing: this run was imported without one; name its images (of sagan_tf.evaluate"
            " the option is --reference)"
        )
    config = training_data.located(config)
    dataset = data.open_dataset(
        config.dataset,
        split=config.split,
        image_size=config.image_size,
        data_dir=config.data_dir,
        bad_images=config.bad_images,
        in_memory=config.in_memory,
        random_crop=config.random_crop,
    )
    if needs_labels and (problem := dataset.without_label()):
        raise UserError(
            f"{problem}; train without classes",
            option="dataset",
            value=config.dataset,
            remedy={"conditional": False},
        )
    return dataset


def resolve_speed(config: Config, environment: runtime.Environment) -> Config:
    """Replaces every `auto` in a configuration by what is fast on these devices.

    precision becomes bfloat16 where that is native, fast_forms what `uses_fast_forms` says.

    Raises:
      UserError: bfloat16 where TensorFlow would fail at the first product.
    """
    precision = config.precision
    if precision == AUTO:
        precision = "bfloat16" if environment.native_bfloat16 else "float32"
    elif precision == "bfloat16" and environment.onednn and lacks_bfloat16():
        raise UserError(
            f"--precision=bfloat16: TensorFlow cannot compute in it with {onednn_limit()}; unset that, or"
            " give --precision=float32"
        )
    fast_forms = "yes" if uses_fast_forms(config, bool(environment.gpus)) else "no"
    return dataclasses.replace(config, precision=precision, fast_forms=fast_forms)


def uses_fast_forms(config: Config, on_gpus: bool | None = None) -> bool:
    """Whether the networks of a configuration have their fast forms.

    Args:
      config: one whose fast_forms is `auto` is new, or of a run that an earlier version began.
      on_gpus: whether `auto` is to be decided for GPUs; None: for those that TensorFlow sees.
    """
    if config.fast_forms != AUTO:
        return config.fast_forms == "yes"
    if on_gpus is None:
        on_gpus = bool(tf.config.list_physical_devices("GPU"))
    return not (on_gpus or config.xla)


def make_generator(config: Config, classes: int) -> Generator:
    """The generator of a configuration, built."""
    generator = Generator(
        channels=config.generator_channels,
        attention=config.generator_attention,
        spectral_norm=config.generator_spectral_norm,
        z_dim=config.z_dim,
        synchronized=config.sync_batch_norm,
        embedding_size=config.generator_embedding,
        hierarchical_z=config.hierarchical_z,
        statistics_momentum=max(config.ema_decay, _MIN_STATISTICS_MOMENTUM),
        **_shared_arguments(config, classes),
    )
    generator.build()
    return generator


def make_discriminator(config: Config, classes: int) -> Discriminator:
    """The discriminator of a configuration, built."""
    discriminator = Discriminator(
        channels=config.discriminator_channels,
        attention=config.discriminator_attention,
        spectral_norm=config.discriminator_spectral_norm,
        class_conditioning=config.class_conditioning,
        shortcut=config.discriminator_shortcut,
        **_shared_arguments(config, classes),
    )
    discriminator.build()
    discriminator.freeze_blocks(config.freeze_discriminator_blocks)
    return discriminator


def _shared_arguments(config: Config, classes: int) -> dict:
    """The arguments that are the same for both networks."""
    return {
        "image_size": config.image_size,
        "classes": classes if config.conditional else 0,
        "attention_form": config.attention_form,
        "attention_key_ratio": config.attention_key_ratio,
        "initializer": config.initializer,
        "fast": uses_fast_forms(config),
        "dtype": PRECISIONS[config.precision],
    }


def make_state(config: Config, classes: int, strategy: tf.distribute.Strategy) -> State:
    """Networks, optimizers and step of a run, with the initial weights that the seed decides."""
    keras.utils.set_random_seed(config.seed)
    tf.config.optimizer.set_jit("autoclustering" if config.xla else False)
    with strategy.scope():
        return State(
            make_generator(config, classes),
            make_discriminator(config, classes),
            _adam(config, config.generator_learning_rate, 1),
            _adam(config, config.discriminator_learning_rate, config.discriminator_steps),
        )


def _adam(config: Config, learning_rate: float, updates_per_step: int) -> FusedAdam:
    decay_steps = config.with_decay_steps().decay_steps if config.learning_rate_schedule == "linear" else 0
    if decay_steps or config.warmup_steps:
        learning_rate = Schedule(learning_rate, config.warmup_steps, decay_steps, updates_per_step)
    return FusedAdam(learning_rate, beta_1=config.beta1, beta_2=config.beta2, epsilon=config.adam_epsilon)


def make_objective(config: Config) -> Objective:
    """What the players minimize."""
    classifier = config.class_conditioning == "auxiliary_classifier"
    return Objective(
        losses.LOSSES[config.loss],
        losses.GRADIENT_PENALTIES.get(config.gradient_penalty),
        config.gradient_penalty_weight,
        auxiliary_weight=config.auxiliary_weight if classifier else 0.0,
        orthogonal_weight=config.orthogonal_regularization,
    )


def make_step(config: Config, state: State, strategy: tf.distribute.Strategy):
    """The compiled training function of a run, see `make_train_function`."""
    # This pass of the graph optimizer fails on the step's loop, with an error message.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    for network in (state.generator, state.discriminator):
        network.recompute_blocks = config.recompute_blocks
    alternation = Alternation(
        state,
        make_objective(config),
        batch_size=config.batch_size,
        discriminator_steps=config.discriminator_steps,
        reuse_fakes=config.reuse_fakes,
        seed=config.seed,
        accumulation_steps=config.accumulation_steps,
        augmentations=config.augment,
    )
    return make_train_function(strategy, state, alternation, config.ema_decay, config.xla)


def make_iterator(
    config: Config, dataset, strategy: tf.distribute.Strategy, first_step: int, restores: int = 0
):
    """Distributed batches from the one that step `first_step` takes; each holds all of a step's images.

    Their order is another one each time the run has gone back, `restores` times.
    """

    per_step = config.batch_size * config.discriminator_steps

    def batches(context):
        worker = dataset.batches(
            per_step,
            seed=config.seed + RESTORE_SEED * restores,
            start_batch=first_step,
            shard_index=context.input_pipeline_id,
            num_shards=context.num_input_pipelines,
            flip=config.flip,
            balanced=config.balanced_classes,
        )
        if strategy.num_replicas_in_sync == context.num_input_pipelines:
            return worker
        return worker.rebatch(per_step // strategy.num_replicas_in_sync)

    return iter(strategy.distribute_datasets_from_function(batches))
