"""The option that chooses the devices of a command that can use several."""

import re

from sagan_tf.system.errors import UserError
from sagan_tf.system.options import option


def devices_option(section: str, cpus: str, common: bool = False) -> str:
    """The option, for a class of options; `cpus` says what the N of cpu:N are."""
    return option(
        "auto",
        f"auto (every visible GPU, or the CPU), gpu:0,2 (these GPUs), cpu, or cpu:N ({cpus}).",
        section=section,
        may_change=True,
        common=common,
    )


def check_devices(devices: str) -> None:
    """Raises UserError for a value that names no devices; those that are not here show later."""
    if not re.fullmatch(r"auto|cpu(:[1-9]\d*)?|gpu:\d+(,\d+)*", devices):
        allowed = "auto, cpu, cpu:N with N at least 1, and gpu:0,1"
        raise UserError(f"allowed are {allowed}", option="devices", value=devices)
