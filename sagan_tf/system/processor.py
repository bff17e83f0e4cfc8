"""What this process can find out about its processor. Needs no TensorFlow."""

import functools
import os
import platform
import subprocess
import typing

# Instruction sets that decide what is fast, by the names that Linux gives them.
_INTERESTING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Values of ONEDNN_MAX_CPU_ISA with which oneDNN leaves out the instructions for bfloat16: with the first ones
# bfloat16 altogether, though TensorFlow goes on to ask for it on a processor with AVX-512.
_WITHOUT_AVX512 = frozenset("SSE41 AVX AVX2 AVX2_VNNI AVX2_VNNI_2".split())
_EMULATING = frozenset({"AVX512_CORE", "AVX512_CORE_VNNI"})


class Processor(typing.NamedTuple):
    """A processor.

    Attributes:
      name: as the maker gives it, e.g. "AMD EPYC 9B14".
      instructions: those of its instruction sets that decide what is fast, e.g. ("avx2", "avx512f").
    """

    name: str
    instructions: tuple[str, ...]

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16 numbers itself."""
        return not _BFLOAT16.isdisjoint(self.instructions)


@functools.cache
def processor() -> Processor:
    """The processor of this machine; what the system does not tell is empty."""
    system = platform.system()
    fields = _of_linux() if system == "Linux" else _of_macos() if system == "Darwin" else {}
    present = fields.get("flags", fields.get("Features", "")).split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return Processor(name, tuple(each for each in _INTERESTING if each in present))


def _of_linux(path: str = "/proc/cpuinfo") -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _of_macos() -> dict[str, str]:
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        name = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        name = ""
    return {"model name": name}


def _max_isa() -> str:
    return os.environ.get("ONEDNN_MAX_CPU_ISA", "")


def onednn_limit() -> str:
    """What keeps oneDNN from the processor's bfloat16 instructions, e.g. "ONEDNN_MAX_CPU_ISA=AVX2"; or ""."""
    is_limited = _max_isa().upper() in _WITHOUT_AVX512 | _EMULATING
    return f"ONEDNN_MAX_CPU_ISA={_max_isa()}" if is_limited else ""


def lacks_bfloat16() -> bool:
    """Whether oneDNN is limited so that bfloat16 operations fail: it must be on."""
    return _max_isa().upper() in _WITHOUT_AVX512 and "avx512f" in processor().instructions


def usable_cpus() -> int:
    """How many processors this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
