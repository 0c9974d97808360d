"""What `fo1 train` shows while it works."""

import pytest

from fo1_data.cli.training_lines import TrainingLines
from fo1_data.training.events import AnswerKind, Measured, RunBegun, SampleFigures, StepDone

GIB = 2**30


def test_it_shows_the_first_step_of_a_resumed_run_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = TrainingLines()
    show(RunBegun(step=2, steps=1000, images=1200, validation_images=80, measured_images=32))
    for step in range(3, 60):
        show(StepDone(step, 1000, 0.5, 1e-4, 1.0, samples_per_s=2.25, tokens_per_s=1250.4, memory_bytes=GIB))
    begun, first, second = capsys.readouterr().err.splitlines()
    assert begun == ("resuming at step 2 of 1000: 1,200 images to train on, 80 to validate on (32 measured)")
    assert first == "step 3 of 1000: loss 0.5000, 2.25 samples/s, 1,250 tokens/s, 1.0 GiB"
    assert second.startswith("step 50 of 1000: loss 0.5000, ")
    assert second.endswith(" left")


def test_it_shows_a_measurement_beside_guessing(capsys: pytest.CaptureFixture[str]) -> None:
    kind = AnswerKind.CAPTION
    figures = SampleFigures(0.25, {kind: 0.75}, {kind: 8}, {kind: 0.5})
    TrainingLines()(Measured(40, figures, figures, is_best=True))
    head, validation, training = capsys.readouterr().err.splitlines()
    assert head == "after step 40, the best so far: exactly right, and by guessing"
    assert validation == "  validation: loss 0.2500, caption 0.75 (0.50, of 8)"
    assert training == "  training: loss 0.2500, caption 0.75 (0.50, of 8)"


def test_it_says_that_nothing_is_validated_on(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingLines()(RunBegun(step=0, steps=4, images=1, validation_images=0, measured_images=0))
    assert capsys.readouterr().err == (
        "1 image to train on, none to validate on: only training images are measured\n"
    )
