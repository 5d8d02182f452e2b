"""A way that a search has found, and the nearest safe one, in time and space: from its moves, or from a history."""

from lessons.i18n.language import tr
from model.search.path_interleaving import of_path, steps_among
from model.search.problem import SearchProblem
from model.search.report import Story
from model.session.interleaving import of_timeline
from model.session.timeline import Timeline
from tui.views.time_space import Across, DrawnSchedule


def of_story(scene: SearchProblem, name: str, told: Story) -> tuple[DrawnSchedule, ...]:
    """The easiest way into what is broken, and the nearest safe schedule where there is one."""
    moves, parting = told.path.actions, told.point_of_no_return
    if parting is None:
        return (DrawnSchedule(name, of_path(scene, moves)),)
    cut = steps_among(moves[: parting.actions])
    return (
        DrawnSchedule(name, of_path(scene, moves), Across(cut, tr("no way back"))),
        DrawnSchedule(
            tr("the nearest safe schedule"),
            of_path(scene, (*moves[: parting.actions], *parting.safe)),
            Across(cut, tr("here the two part")),
        ),
    )


def of_history(
    timeline: Timeline, name: str, nodes: tuple[int, ...], cut: int, safe: tuple[int, ...]
) -> tuple[DrawnSchedule, ...]:
    """The same of nodes that lie ahead: those of the way, its start first, and the safe ones from move `cut` on."""
    found = of_timeline(timeline, nodes[0], nodes[-1])
    if not safe:
        return (DrawnSchedule(name, found),)
    before = sum(timeline.nodes[node].stepped is not None for node in nodes[1 : cut + 1])
    return (
        DrawnSchedule(name, found, Across(before, tr("no way back"))),
        DrawnSchedule(
            tr("the nearest safe schedule"),
            of_timeline(timeline, nodes[0], safe[-1]),
            Across(before, tr("here the two part")),
        ),
    )
