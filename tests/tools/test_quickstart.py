"""The quick start's flagfile makes digits: slow, run it with `-m slow`."""

import pytest

from sagan_tf import train
from sagan_tf.runs.config import Config
from sagan_tf.system import cli
from tests.conftest import ROOT
from tools.benchmark_digits import Judge


@pytest.mark.slow
def test_samples_are_the_digits_that_were_asked_for(tmp_path):
    with pytest.raises(SystemExit) as stop:
        flags = [f"--flagfile={ROOT / 'flags' / 'digits.cfg'}", f"--workdir={tmp_path}"]
        cli.run(train.main, Config, "", program="sagan_tf.train", argv=flags)
    assert stop.value.code == 0
    judge = Judge()
    assert judge.accuracy >= 0.95
    agreement, variety = judge(tmp_path)
    print(f"agreement {agreement:.3f}, variety {variety:.2f}")
    assert agreement >= 0.95
    assert variety >= 0.5
