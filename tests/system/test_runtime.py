"""What is set before TensorFlow starts, and what auto precision becomes on which machine."""

import json
import os
import subprocess
import sys
import warnings

import pytest

from sagan_tf import train
from sagan_tf.monitoring import estimate
from sagan_tf.runs import objects
from sagan_tf.runs.config import Config
from sagan_tf.system import cli, options, runtime
from sagan_tf.system import processor as processors
from sagan_tf.system.errors import UserError
from sagan_tf.training import loop
from tests.conftest import ROOT, environment_here

CPUINFO = (
    "processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\nmodel name\t: other\n"
)
TINY = """--image_size=32 --batch_size=4 --z_dim=8 --steps_per_call=1 --devices=cpu --generator_channels=1
--discriminator_channels=1 --generator_attention= --discriminator_attention= --train_steps=1
--dataset=digits""".split()


_OURS = ("TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND", "TF_FORCE_GPU_ALLOW_GROWTH")


def settings(**environment) -> dict:
    """What a new process has set once it is prepared; without TensorFlow."""
    code = "import json, os, sagan_tf; sagan_tf.prepare(); print(json.dumps(dict(os.environ)))"
    inherited = {k: v for k, v in os.environ.items() if k not in _OURS}
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        check=True,
        capture_output=True,
    )
    return json.loads(output.stdout)


def test_what_a_library_says_of_its_own_requirements_is_not_shown():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runtime.import_tensorflow()
        warnings.warn("pkg_resources is deprecated as an API. See https://x.", UserWarning, stacklevel=1)
    assert not caught


def test_onednn_is_on_unless_the_user_says_otherwise():
    assert settings()["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert settings(TF_ENABLE_ONEDNN_OPTS="0")["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_a_gpus_memory_is_taken_as_it_is_needed():
    """So a training and its evaluation can share one."""
    assert settings()["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert settings(TF_FORCE_GPU_ALLOW_GROWTH="false")["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


def test_this_process_uses_onednn_where_it_was_asked_to():
    """The setting reaches TensorFlow: it was made before the import."""
    asked = os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert runtime.uses_onednn() == (asked and sys.platform == "linux")


@pytest.mark.parametrize(
    ("flags", "native"), [("avx512f avx512_bf16", True), ("amx_bf16", True), ("avx512f avx512_vnni", False)]
)
def test_processor_is_read(tmp_path, monkeypatch, flags, native):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(flags))
    read = processors._of_linux
    monkeypatch.setattr(processors, "_of_linux", lambda: read(str(path)))
    monkeypatch.setattr(processors.platform, "system", lambda: "Linux")
    found = processors.processor.__wrapped__()
    assert found.name == "Fast 9000" and found.instructions[0] == "avx2"
    assert found.has_bfloat16 == native
    assert not processors.Processor("", ()).has_bfloat16
    assert read(str(tmp_path / "missing")) == {}


def on(monkeypatch, *instructions, onednn=True, limit=""):
    """The environment of a CPU with these instructions."""
    monkeypatch.setattr(runtime, "processor", lambda: processors.Processor("a", instructions))
    monkeypatch.setattr(runtime, "uses_onednn", lambda: onednn)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    return environment_here(["CPU:0"])


def test_bfloat16_is_native_where_the_device_computes_it(monkeypatch):
    assert on(monkeypatch, "avx2", "avx512_bf16").native_bfloat16
    assert on(monkeypatch, "asimd", "bf16").native_bfloat16
    assert not on(monkeypatch, "avx2", "avx512f").native_bfloat16
    assert not on(monkeypatch, "avx512_bf16", onednn=False).native_bfloat16
    assert not on(monkeypatch, "avx512_bf16", limit="AVX2").native_bfloat16
    assert on(monkeypatch, "avx512_bf16", limit="avx512_core_bf16").native_bfloat16


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_of_gpus_the_capability_decides(monkeypatch, capability, native):
    details = {"device_name": "NVIDIA X", "compute_capability": capability}
    monkeypatch.setattr(runtime, "_gpu_details", lambda device: details)
    found = environment_here(["GPU:0", "GPU:1"])
    assert found.native_bfloat16 == native and str(found).startswith("NVIDIA X, NVIDIA X; bfloat16")


def test_threads_of_an_operation_are_set_before_tensorflow_computes():
    code = (
        "from sagan_tf.system import runtime; runtime.import_tensorflow(); runtime.set_intra_op_threads(1);"
        "import tensorflow as tf; tf.zeros(1); runtime.set_intra_op_threads(2);"
        "print(runtime.environment(['CPU:0']).record()['intra_op_threads'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert done.stdout.split() == [b"1"]  # the second call came too late, and says nothing


def config(**changes) -> Config:
    return Config(workdir="unused", **changes)


def test_auto_becomes_what_is_native(monkeypatch):
    new, old = on(monkeypatch, "avx512_bf16"), on(monkeypatch, "avx2")
    assert objects.resolve_speed(config(), new).precision == "bfloat16"
    assert objects.resolve_speed(config(), old).precision == "float32"
    for precision in ("float32", "bfloat16"):
        for environment in (new, old):
            asked = config(precision=precision)
            assert objects.resolve_speed(asked, environment).precision == precision


def test_bfloat16_is_refused_where_tensorflow_would_fail(monkeypatch):
    old = on(monkeypatch, "avx2", limit="AVX2")
    monkeypatch.setattr(processors, "processor", lambda: old.processor)
    asked = config(precision="bfloat16")
    # Without AVX-512 TensorFlow has other kernels.
    assert objects.resolve_speed(asked, old).precision == "bfloat16"
    environment = on(monkeypatch, "avx512f", "avx512_bf16", limit="AVX2")
    monkeypatch.setattr(processors, "processor", lambda: environment.processor)
    with pytest.raises(UserError, match="--precision=bfloat16: .* with ONEDNN_MAX_CPU_ISA=AVX2"):
        objects.resolve_speed(asked, environment)
    assert objects.resolve_speed(config(), environment).precision == "float32"


def test_auto_has_fast_forms_on_cpus_without_xla(monkeypatch):
    cpu = on(monkeypatch, "avx2")
    gpu = cpu._replace(gpus=("NVIDIA X",))

    def became(environment, **changes):
        return objects.resolve_speed(config(**changes), environment).fast_forms

    assert became(cpu) == "yes"
    assert became(gpu) == became(cpu, xla=True) == "no"
    assert became(gpu, fast_forms="yes") == became(cpu, fast_forms="yes", xla=True) == "yes"
    assert became(cpu, fast_forms="no") == "no"


@pytest.mark.parametrize("fast", [False, True])
def test_fast_forms_reach_every_layer(fast):
    """The networks' own, and what the estimate of their cost goes by."""
    sizes = {"image_size": 32, "generator_channels": 1, "discriminator_channels": 1, "precision": "float32"}
    attention = {"generator_attention": (16,), "discriminator_attention": (16,)}
    asked = config(**sizes, **attention, fast_forms="yes" if fast else "no")
    networks = objects.make_generator(asked, 2), objects.make_discriminator(asked, 2)
    for network in networks:
        kinds = [layer for layer in network.inner_layers if hasattr(layer, "fast")]
        assert len(kinds) > 5 and {layer.fast for layer in kinds} == {fast}
    costs = estimate.generator_cost(networks[0]), estimate.discriminator_cost(networks[1])
    assert all((cost.saved > 2 * 1e5) == fast for cost in costs)


def run(monkeypatch, *arguments) -> int:
    with pytest.raises(SystemExit) as exit_code:
        cli.run(train.main, Config, "", program="sagan_tf.train", argv=[*TINY, *arguments])
    return exit_code.value.code


def test_a_run_stays_what_it_became(tmp_path, monkeypatch, capfd, eagerly):
    workdir = f"--workdir={tmp_path}/run"
    native = runtime.environment(["CPU:0"])._replace(native_bfloat16=True, gpus=("NVIDIA X",))
    assert run(monkeypatch, workdir) == 0
    monkeypatch.setattr(runtime, "environment", lambda devices: native)
    assert run(monkeypatch, workdir, "--train_steps=2", "--precision=auto", "--fast_forms=auto") == 0
    saved = options.from_flagfile(Config, f"{tmp_path}/run/config.cfg")
    assert (saved.precision, saved.fast_forms) == ("float32", "yes")
    lines = [json.loads(line) for line in open(f"{tmp_path}/run/environment.jsonl", encoding="utf-8")]
    assert [line["step"] for line in lines] == [0, 1]
    assert [line["fast_forms"] for line in lines] == ["yes", "yes"]
    assert lines[0]["precision"] == "float32" and lines[0]["tensorflow"] and lines[0]["processor"]
    assert f": {native}\n" in capfd.readouterr().out
    assert run(monkeypatch, workdir, "--precision=bfloat16") == 2
    assert "'float32' before, 'bfloat16' now" in capfd.readouterr().err
    assert run(monkeypatch, workdir, "--fast_forms=no") == 2
    assert "--fast_forms: 'yes' before, 'no' now" in capfd.readouterr().err


def test_dry_run_prints_what_auto_becomes(monkeypatch, capfd):
    assert run(monkeypatch, "--dry_run") == 0
    assert "\n--precision=float32\n" in capfd.readouterr().out


def test_emulated_bfloat16_is_one_warning(tmp_path, monkeypatch, capfd):
    emulated = runtime.environment(["CPU:0"])._replace(native_bfloat16=False)
    monkeypatch.setattr(runtime, "environment", lambda devices: emulated)
    monkeypatch.setattr(objects, "resolve_speed", lambda config, environment: config)
    stopped = RuntimeError("before the first step")

    def stop(*_, **__):
        raise stopped

    monkeypatch.setattr(loop, "run", stop)
    arguments = [*TINY, "--precision=bfloat16", f"--workdir={tmp_path}/run"]
    with pytest.raises(RuntimeError, match="before the first step"):
        cli.run(train.main, Config, "", program="sagan_tf.train", argv=arguments)
    assert capfd.readouterr().err.count("emulates it") == 1


def test_float16_is_refused(capfd, monkeypatch):
    assert run(monkeypatch, "--workdir=x", "--precision=float16") == 2
    assert "--precision=float16: allowed are auto, float32, bfloat16" in capfd.readouterr().err
