"""Equal logs give equal decisions: in every process, and however the log arrives."""

import os
import subprocess
import sys

from services.scheduler.decide import decide
from services.scheduler.state import State
from services.scheduler.state.samples import KEEP_SAMPLES, Samples
from tests import builders as b
from tests.unit.scheduler.stories import sample, story


def a_long_story() -> str:
    """A fleet's life in a few passes, as text."""
    models = [b.a_model(f"m{k}", max_instances=3, min_instances=k % 3) for k in range(12)]
    nodes = [b.a_node(f"n{k}", gpus=2, supported=("*", f"m{k}")[k % 2 :]) for k in range(6)]
    spec = story(*models, *nodes)
    said = []
    for lengths in ((0, 40), (90, 0), (5, 70)):
        sample(spec, {f"m{k}": lengths[k % 2] + k for k in range(12)})
        for _ in range(3):
            said.append(repr(spec.when_deciding().proposals))
            spec.when_recorded()
    other = State()
    for recorded in spec.log.events:
        other.apply(recorded)
    assert decide(other, spec.log.now, 1) == decide(spec.state, spec.log.now, 1)
    return "\n".join(said)


def test_the_hash_seed_of_a_process_changes_no_decision() -> None:
    program = "from tests.unit.scheduler.test_same import a_long_story; print(a_long_story())"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "777")
    ]
    assert told[0] == told[1]
    assert "InstanceStartRequested" in told[0]


def test_events_of_other_subjects_change_nothing() -> None:
    spec = story()
    spec.given(b.Draft("lease/x", b.m.ModelDeleted(model_id="x")))
    before = repr(spec.state)
    spec.state.apply(spec.log.record(b.Draft("secret/x", _secret())))
    assert repr(spec.state) == before


def _secret() -> b.Event:
    from contracts.events.control import SecretRotated

    return SecretRotated(secret_id="x", version=1)


def test_samples_beyond_the_longest_window_are_let_go_and_means_stay_right() -> None:
    samples = Samples()
    for k in range(3 * KEEP_SAMPLES):
        samples.add(float(k), k % 7, None)
    assert len(samples.at_s) <= KEEP_SAMPLES
    last = 3 * KEEP_SAMPLES - 1
    window = [k % 7 for k in range(last - 299, last + 1)]
    assert samples.mean(last - 300.0) == (sum(window) / 300, 300)
    every = samples.mean(-1.0)
    assert every[1] == len(samples.at_s)
    for k in range(200):
        samples.add(last + 60.0 * k, 0, None)
    assert samples.at_s[len(samples.at_s) // 2] >= samples.at_s[-1] - 7200
    assert samples.mean(samples.at_s[-1]) == (0.0, 0)
