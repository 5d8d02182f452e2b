"""How far one move goes through the steps of a `do` block."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from lessons.file.schema import Pace
from lessons.play.in_sight import is_in_sight
from lessons.play.playback import PlayedStep

StepSize = Literal["forward", "into", "over", "out", "command"]
"""As the lesson paces it, one micro-step, past a call, to the caller, to the command's end."""


def length(size: StepSize, pace: Pace, ahead: Sequence[PlayedStep]) -> int:
    """How many of the steps ahead (at least one) a move takes. No move goes past the end of a command."""
    return (PACED[pace] if size == "forward" else STEP_SIZES[size])(_command(ahead))


def _command(ahead: Sequence[PlayedStep]) -> Sequence[PlayedStep]:
    """The steps up to the end of the command."""
    end = next((number for number, played_step in enumerate(ahead, 1) if played_step.outcome is not None), len(ahead))
    return ahead[:end]


def _until(ahead: Sequence[PlayedStep], stop: Callable[[PlayedStep], bool]) -> int:
    """The number of steps before the first one, after the first, that `stop` wants to be the next."""
    return next((number for number, played_step in enumerate(ahead) if number and stop(played_step)), len(ahead))


def _one(_ahead: Sequence[PlayedStep]) -> int:
    return 1


def _over(ahead: Sequence[PlayedStep]) -> int:
    """If the step calls a function, all of that function too."""
    return _until(ahead, lambda played_step: _depth(played_step) <= _depth(ahead[0]))


def _out(ahead: Sequence[PlayedStep]) -> int:
    """To the end of the running function."""
    return _until(ahead, lambda played_step: _depth(played_step) < _depth(ahead[0]))


def _function(ahead: Sequence[PlayedStep]) -> int:
    """The steps that one kernel function makes in a row, without what it calls."""
    return _until(ahead, lambda played_step: _running(played_step) != _running(ahead[0]))


def _remark(ahead: Sequence[PlayedStep]) -> int:
    """Up to and including the next micro-step that the author has something to say about."""
    return next((number for number, played_step in enumerate(ahead, 1) if played_step.remark), len(ahead))


def _visible(ahead: Sequence[PlayedStep]) -> int:
    """Up to and including the next micro-step that shows, or that the author has something to say about."""
    shows = (number for number, step in enumerate(ahead, 1) if step.remark or is_in_sight(step.node))
    return next(shows, len(ahead))


def _depth(played_step: PlayedStep) -> int:
    return played_step.stepped.depth if played_step.stepped else 0


def _running(played_step: PlayedStep) -> tuple[str, int]:
    return (played_step.stepped.procedure, played_step.stepped.depth) if played_step.stepped else ("", 0)


STEP_SIZES: Final[dict[StepSize, Callable[[Sequence[PlayedStep]], int]]] = {
    "into": _one,
    "over": _over,
    "out": _out,
    "command": len,
}
PACED: Final[dict[Pace, Callable[[Sequence[PlayedStep]], int]]] = {
    "visible": _visible,
    "micro": _one,
    "procedure": _function,
    "remark": _remark,
    "command": len,
}
