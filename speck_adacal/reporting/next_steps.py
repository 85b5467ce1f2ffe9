"""What to do next, from what a summary found: a sentence and a command each."""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.recipe.verdict import WORTH_SAYING
from speck_adacal.reporting.details import ExitPoint
from speck_adacal.reporting.summary import Summary, accuracy_of

_SAVES = 0.95  # of the SynOps, for an early exit that is worth its table


@dataclass(frozen=True)
class NextStep:
    """Something worth doing, and the command that does it."""

    why: str
    command: str


def saving_exit(summary: Summary) -> ExitPoint | None:
    """The early exit of least allowed loss that saves a twentieth of the SynOps; None if none
    does."""
    points = () if summary.details is None else summary.details.exits
    return next((point for point in points if point.synops < _SAVES), None)


def next_steps_of(summary: Summary, *, has_front: bool) -> tuple[NextStep, ...]:
    """What to do next, what matters most first."""
    if not summary.levels:
        why = "See what the network decides and costs on samples that it was not trained on."
        return (NextStep(why, "speck-adacal report BUNDLE --samples-from LABELLED.npz"),)
    found = []
    lost = accuracy_of(summary.levels, "ann") - accuracy_of(summary.levels, "event")
    if lost > WORTH_SAYING:
        why = f"The chip loses {100 * lost:.1f} points: see in which layer."
        found.append(NextStep(why, "speck-adacal autopsy BUNDLE --samples-from LABELLED.npz"))
    if not has_front:
        why = "Look for fewer SynOps at the same accuracy, or for more accuracy."
        command = "speck-adacal front BUNDLE --samples-from SAMPLES.npz --out CHEAPER.bundle"
        found.append(NextStep(why, command))
    if (exit_point := saving_exit(summary)) is not None:
        why = (
            f"Stop early: {100 * exit_point.synops:.0f} % of the SynOps at "
            f"{100 * exit_point.accuracy:.1f} % accuracy."
        )
        command = (
            "speck-adacal exits BUNDLE --samples-from LABELLED.npz --max-loss "
            f"{100 * exit_point.allowed_loss:g} --out EARLY.bundle"
        )
        found.append(NextStep(why, command))
    found.append(NextStep("Watch it decide.", "speck-adacal stream RECORDING.npz --bundle BUNDLE"))
    found.append(
        NextStep("See what a board would be given.", "speck-adacal flash BUNDLE --dry-run")
    )
    return tuple(found)
