"""Options of the game and of its speed."""

import dataclasses

from sagan_tf.system.device_option import devices_option
from sagan_tf.system.options import option

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # and Keras's names of them
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How the networks are trained."""

    batch_size: int = option(
        256, "Images in a batch, over all replicas.", section="Training", minimum=1, common=True
    )
    loss: str = option(
        "hinge",
        "Adversarial loss; kl is the original code's other one, relativistic that of R3GAN.",
        section="Training",
        choices=("hinge", "kl", "non_saturating", "least_squares", "wasserstein", "relativistic"),
    )
    gradient_penalty: str = option(
        "none",
        "Penalty on the gradient of the discriminator's logit with respect to the image: r1 at real images,"
        " r1,r2 at real images and at fakes (R3GAN), wgan_gp between them, where its norm is to be 1.",
        section="Training",
        choices=("none", "r1", "r1,r2", "wgan_gp"),
    )
    gradient_penalty_weight: float = option(
        10.0, "Weight of --gradient_penalty (gamma of R1, lambda of WGAN-GP).", section="Training", minimum=0
    )
    auxiliary_weight: float = option(
        1.0,
        "Weight of the classes' cross entropy, for both players, with --class_conditioning="
        "auxiliary_classifier; 1 as in AC-GAN.",
        section="Training",
        minimum=0,
    )
    orthogonal_regularization: float = option(
        0.0,
        "Weight of the generator's orthogonal regularization; BigGAN's is 1e-4.",
        section="Training",
        minimum=0,
    )
    discriminator_steps: int = option(
        1, "Discriminator steps for each generator step.", section="Training", minimum=1
    )
    accumulation_steps: int = option(
        1,
        "Parts in which a batch is computed, one after the other: less memory, and batch statistics of a part"
        " instead of the whole.",
        section="Training",
        minimum=1,
        common=True,
    )
    reuse_fakes: bool = option(
        True,
        "Let the generator step use the fakes of the last discriminator step; otherwise fresh ones, as in the"
        " original.",
        section="Training",
    )
    generator_learning_rate: float = option(
        1e-4,
        "Adam's learning rate of the generator.",
        section="Training",
        minimum=0,
        common=True,
    )
    discriminator_learning_rate: float = option(
        4e-4,
        "Adam's learning rate of the discriminator.",
        section="Training",
        minimum=0,
        common=True,
    )
    learning_rate_schedule: str = option(
        "constant",
        "Learning rates after warm-up: constant, as in the paper, or falling linearly to 0 at --decay_steps.",
        section="Training",
        choices=("constant", "linear"),
    )
    decay_steps: int = option(
        0,
        "Step at which --learning_rate_schedule=linear reaches 0; 0 for the --train_steps that the run begins"
        " with. A run that is to be taken up with more steps names the last of them here.",
        section="Training",
        minimum=0,
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
    adam_epsilon: float = option(
        1e-8, "Adam's epsilon; the original's. BigGAN has 1e-6.", section="Training", minimum=1e-12
    )
    ema_decay: float = option(
        0.999,
        "Decay of the average of the generator's weights, from which samples are drawn; 0 for none, as in the"
        " original.",
        section="Training",
        minimum=0,
        maximum=0.999999,
    )
    initialize_from: str = option(
        "",
        "Directory of a run whose weights this one begins with, wherever shapes agree; its data may be other"
        " images of other classes. Options of the networks that are not given are that run's.",
        section="Start from another run",
        common=True,
        is_path=True,
    )
    class_map: str = option(
        "",
        "File of lines NEW=OLD, names of classes: a new class begins as the old one, or as the mean of those"
        " of several lines. Classes without a line begin as the mean of all old ones. Without a file, a class"
        " begins as the one of the same name; if no name is in both runs, as many classes keep their order.",
        section="Start from another run",
        is_path=True,
    )
    freeze_discriminator_blocks: int = option(
        0,
        "How many of the discriminator's blocks, counted from the image, keep the weights they begin with"
        " (FreezeD, Mo et al. 2020), with the attention after them: for small sets of images.",
        section="Start from another run",
        minimum=0,
    )

    devices: str = devices_option("Speed", "N replicas on the CPU", common=True)
    cluster: str = option(
        "auto",
        "Processes that train together, on several hosts: auto (those of TF_CONFIG; else the tasks that srun"
        " of SLURM started; else this process alone), none, slurm, or addresses HOST:PORT,HOST:PORT or"
        " POD-[0-7].NAME:PORT, the chief's first; JOB_COMPLETION_INDEX then says which this process is.",
        section="Cluster",
        may_change=True,
    )
    join_timeout: int = option(
        600, "Seconds to wait for the other processes.", section="Cluster", minimum=1, may_change=True
    )
    grace_period: int = option(
        30,
        "Seconds that the platform leaves between SIGTERM and the end. Calls of several steps are made so"
        " short that a call and the save after it take half of them. The numbers do not depend on it.",
        section="Cluster",
        minimum=1,
        may_change=True,
    )

    precision: str = option(
        AUTO,
        "Precision of activations and convolutions. auto: bfloat16 where the device computes it natively,"
        " otherwise float32; decided once, when the run begins.",
        section="Speed",
        choices=(AUTO, *PRECISIONS),
        common=True,
    )
    fast_forms: str = option(
        AUTO,
        "Compute convolutions with their resampling as one, and large attention maps image by image: the same"
        " functions but for rounding. auto: yes on CPUs without --xla, otherwise no, as it was not measured;"
        " decided once, when the run begins.",
        section="Speed",
        choices=(AUTO, "yes", "no"),
    )
    xla: bool = option(
        False,
        "Compile with XLA: with one replica the whole iteration, with several what TensorFlow chooses (GPUs"
        " only). It draws other random numbers from the same seed.",
        section="Speed",
        may_change=True,
    )
    recompute_blocks: bool = option(
        False,
        "Compute the blocks' values again for the gradients instead of keeping them: less memory, about a"
        " third more arithmetic. Not with --xla, which would undo it.",
        section="Speed",
        may_change=True,
    )
    intra_op_threads: int = option(
        0,
        "CPU threads that share one operation. 0: TensorFlow's choice, all cores. With 1, small networks"
        " train faster: work of microseconds is not worth sharing.",
        section="Speed",
        minimum=0,
        may_change=True,
    )
    steps_per_call: int = option(
        10, "Steps that run between returns to Python.", section="Speed", minimum=1, may_change=True
    )
