"""The guards on made-up figures: each strikes when it must, says why, and not before."""

import math

import pytest

from sagan_tf.monitoring.diagnostics import Kernel
from sagan_tf.monitoring.guards import Diverged, Guards, Limits, limits_of
from sagan_tf.training.losses import LOSSES

HEALTHY = {"loss/discriminator": 1.2, "loss/generator": 0.6, "logits/real": 0.3, "logits/fake": -0.3}


def play(guards, losses, count=10, first=0):
    """Feeds the discriminator's losses, `count` steps each; returns what was raised and when."""
    step = first
    for loss in losses:
        step += count
        try:
            guards.see_losses(step, count, HEALTHY | {"loss/discriminator": loss})
        except Diverged as error:
            return step, error
    return step, None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number(value):
    with pytest.raises(Diverged, match="loss/generator is .*learning_rate") as raised:
        Guards(0).see_losses(30, 10, HEALTHY | {"loss/generator": value})
    assert raised.value.since == 20 and raised.value.hopeless


def test_a_variable_that_is_no_number():
    guards = Guards(0)
    guards.see_variables(5, [])
    with pytest.raises(Diverged, match="in generator/dense/kernel and 2 more variables") as raised:
        guards.see_variables(6, ["generator/dense/kernel", "b", "c"])
    assert raised.value.hopeless and raised.value.since < 6
    with pytest.raises(Diverged, match="in b;"):
        guards.see_variables(6, ["b"])


def test_the_line_says_what_to_do_with_which_options():
    error = Diverged("won", "D has won", 3, {"lower": ("a", "b"), "raise": ("c",)})
    assert error.problem == "D has won" and str(error) == "D has won; lower --a and --b or raise --c"
    assert str(Diverged("won", "D has won", 3)) == "D has won"


def test_discriminator_that_has_won():
    step, error = play(Guards(0), [1.0, *[0.0] * 200])
    assert step == 10 + 1000 and "has won" in str(error) and error.since == 10 and not error.hopeless
    # Once in a while it has to lose a little: then it has not won.
    assert play(Guards(0), ([0.0] * 99 + [0.5]) * 5)[1] is None


def test_nobody_wins_where_the_loss_has_no_lower_bound():
    """Wasserstein's is below 0 as long as all is well. A dead D is one all the same."""
    losses = [-50.0 + 1e-3 * (i % 2) for i in range(200)]
    assert play(Guards(0, limits_of(LOSSES["wasserstein"])), losses)[1] is None
    for name in LOSSES.keys() - {"wasserstein"}:
        assert "has won" in play(Guards(0, limits_of(LOSSES[name])), [1e-3] * 200)[1].problem
    assert "dead" in play(Guards(0, limits_of(LOSSES["wasserstein"])), [0.0] * 100)[1].problem


def test_discriminator_that_is_dead():
    step, error = play(Guards(0), [1.5, *[2.0] * 100])
    assert step == 20 + 200 and "dead" in str(error) and error.since == 20
    assert str(error).endswith("--discriminator_learning_rate or raise --discriminator_steps")
    assert play(Guards(0), [2.0 + 1e-5 * (i % 2) for i in range(100)])[1] is None


def play_gaps(gaps, count=50):
    """Feeds the distance between D's mean logits, `count` steps each; returns what was raised and when."""
    guards, step = Guards(0), 0
    for number, gap in enumerate(gaps):
        step += count
        try:  # the loss is never twice the same
            scalars = {"loss/discriminator": 2.0 + 0.001 * (number % 3), "logits/real": gap - 0.2}
            guards.see_losses(step, count, HEALTHY | scalars | {"logits/fake": -0.2})
        except Diverged as error:
            return step, error
    return step, None


def test_discriminator_that_cannot_tell_real_from_fake():
    """As in a run of flags/cifar10.cfg from step 55,000 on, after 0.4 at the start."""
    noise = [0.02, -0.02, 0.012, -0.015] * 40
    step, error = play_gaps([0.4] * 20 + noise)  # 1,000 steps, then 8,000
    assert error.kind == "dead" and "cannot tell them apart" in error.problem
    assert step == 6000 and error.since == 1000
    assert str(error).endswith("raise --discriminator_steps or lower --generator_learning_rate")


def test_discriminator_that_hardly_tells_real_from_fake():
    """A small distance teaches, and so does one that is there now and then."""
    assert play_gaps([0.4] * 20 + [0.001] * 200)[1] is None
    assert play_gaps([0.4] * 20 + ([-0.01] * 80 + [0.2] * 20) * 3)[1] is None


def kernels(growth, normalized=True):
    return {"generator/dense": Kernel(2.5 * growth, growth, normalized)}


def test_singular_values_that_blow_up():
    guards = Guards(0)
    guards.see_kernels(100, kernels(9.0))  # from 1 at the start
    guards.see_kernels(200, kernels(80.0))
    with pytest.raises(Diverged, match="generator/dense is 2002, 10 times what it was 100 steps") as raised:
        guards.see_kernels(300, kernels(801.0))
    assert raised.value.since == 200


def test_singular_values_that_grow_slowly():
    limits = Limits()
    for normalized, limit in ((True, limits.growth_normalized), (False, limits.growth)):
        guards = Guards(0)
        for exponent in range(1, round(math.log2(limit)) + 1):
            guards.see_kernels(exponent, kernels(min(2.0**exponent, limit), normalized))
        with pytest.raises(Diverged, match="times what it was at first"):
            guards.see_kernels(exponent + 1, kernels(1.01 * limit, normalized))


def test_of_a_run_taken_up_only_what_it_does_from_then_on_is_sudden():
    guards = Guards(5000)
    guards.see_kernels(5100, kernels(50.0))
    with pytest.raises(Diverged, match="11 times"):
        guards.see_kernels(5200, kernels(550.0))


def test_weights_that_another_run_has_trained_are_not_compared_with_new_ones():
    guards = Guards(0, trained=True)
    guards.see_kernels(100, kernels(12.0))
    with pytest.raises(Diverged, match="11 times what it was 100 steps ago"):
        guards.see_kernels(200, kernels(132.0))
    with pytest.raises(Diverged, match="12 times what it was 100 steps ago"):
        Guards(0).see_kernels(100, kernels(12.0))


def test_samples_all_alike():
    guards = Guards(0)
    guards.see_diversity(100, {"class 0": 0.5, "class 1": 0.04})
    guards.see_diversity(200, {"class 0": 0.05, "class 1": 0.5})
    guards.see_diversity(300, {"class 0": 0.05, "class 1": 0.04})
    assert guards.good_until == {0, 100, 200, 300}
    with pytest.raises(Diverged, match=r"class 0: samples vary by 0\.03.*collapsed") as raised:
        guards.see_diversity(400, {"class 0": 0.03, "class 1": 0.04})
    assert raised.value.since == 100


def test_samples_alike_now_and_then():
    """Three times, but not in a row."""
    guards = Guards(0)
    for step, share in enumerate((0.05, 0.05, 0.5, 0.05, 0.05), 1):
        guards.see_diversity(step, {"class 0": share})
    with pytest.raises(Diverged, match="collapsed"):
        guards.see_diversity(6, {"class 0": 0.05})


def test_suspicion_begins_before_what_is_suspicious_and_ends_with_it():
    guards = Guards(40)
    assert guards.good_until == {40}
    guards.see_kernels(50, kernels(1.0))
    play(guards, [0.0, 0.0], first=50)
    guards.see_diversity(90, {"class 0": 0.01})
    assert guards.good_until == {50, 90, 40}
    play(guards, [1.0], first=90)
    guards.see_diversity(110, {"class 0": 0.9})
    assert guards.good_until == {50, 110, 40}  # 40: the logits
    play(guards, [0.0], first=120)
    guards.start(10)
    assert guards.good_until == {10}


def test_whatever_strikes_names_a_step_that_was_protected_before():
    """So that the newest checkpoint up to it is there."""
    for look in (
        lambda guards, step: guards.see_kernels(step, kernels(2.0 if step < 60 else 30.0)),
        lambda guards, step: guards.see_diversity(step, {"class 0": 0.5 if step < 60 else 0.01}),
        lambda guards, step: guards.see_losses(step, 10, HEALTHY | {"loss/discriminator": 0.5}),
        lambda guards, step: guards.see_losses(
            step, 10, HEALTHY | {"loss/discriminator": 1 / step, "logits/real": 0.3 if step < 1500 else -0.3}
        ),
    ):
        guards, step = Guards(0), 0
        while True:
            step += 10
            protected = guards.good_until
            try:
                look(guards, step)
            except Diverged as error:
                assert error.since in protected
                break
