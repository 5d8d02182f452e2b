"""Words about a machine that only some moves need: completion, and who refers to whom."""

from typing import TYPE_CHECKING

from model.invariants.machine_view import MachineView
from model.memory.state import State

if TYPE_CHECKING:
    from model.script.complete import Completion


def related(scene: MachineView, subject: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a subject refers to, and what refers to it."""
    from model.session.relations import refers

    found = refers(scene, subject)
    return found.to, found.by


def help_for(state: State, line: str) -> "Completion":
    """What belongs where the cursor is at the end of a line, and what could be typed there."""
    from model.script.complete import assist
    from model.script.scope import Scope

    return assist(line, Scope.of(state))
