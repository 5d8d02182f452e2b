"""From a lesson into a sandbox that stands on the very same state; the lesson is not touched."""

from typing import TYPE_CHECKING

from lessons.i18n.language import tr
from model.script.execute import MAIN
from model.script.parser import parse
from model.script.problems import ScriptError
from model.session.session import Session
from model.session.timeline import Node, Timeline
from tui.drivers.sandbox import SandboxDriver

if TYPE_CHECKING:
    from lessons.play.player import Player


def aside(player: "Player") -> SandboxDriver:
    """A sandbox where the learner is now, with the way that led there: the scene's script, then the lesson's moves."""
    title = tr("Sandbox beside: {lesson}").format(lesson=player.lesson.header.title)
    standing = player.spot.standing
    session = _again(player)
    if session is None or session.state != standing.context.state:
        # A lesson may have come here by a way that is no script; the state itself can always be played with.
        session = Session(standing.context, standing.checker)
    driver = SandboxDriver(title=title, session=session)
    driver.bookmark(tr("the lesson"))
    driver.jumped()
    return driver


def _again(player: "Player") -> Session | None:
    """The lesson's way made anew in a session of its own; None where that is not possible."""
    session = Session()
    try:
        _set_scene(player, session)
        timeline = player.timeline
        for node in timeline.path_to(timeline.nodes[player.spot.at])[1:]:
            _follow(session, timeline, node)
    except (ScriptError, ValueError):
        return None
    return session


def _set_scene(player: "Player", session: Session) -> None:
    """Carry out the scripts that set the scene. Raises ScriptError."""
    items, at = player.lesson.items, player.spot.item
    while at and not items[at].world:
        at -= 1
    item = items[at]
    for command in parse(player.lesson.worlds[item.world]) if item.world else ():
        session.perform(command)
    for more in item.setup:
        session.run(more.text)


def _follow(session: Session, timeline: Timeline, node: Node) -> None:
    """The move of a lesson that led to a node: there a command's first micro-step begins it; `finish T` may stop."""
    stepped = node.stepped
    if stepped is not None and stepped.task != MAIN:
        session.step_task(stepped.task)
        return
    if timeline.nodes[node.parent].running is None or timeline.nodes[node.parent].command != node.command:
        command = session.understand(node.command)
        if command is not None:
            session.begin_command(command)
    if stepped is not None:
        session.step_into()
