"""From a lesson into a sandbox that takes its history over; the lesson is not touched."""

from typing import TYPE_CHECKING

from lessons.i18n.language import tr
from model.session.session import Session
from tui.drivers.sandbox import SandboxDriver

if TYPE_CHECKING:
    from lessons.play.player import Player


def sandbox_from(player: "Player") -> SandboxDriver:
    """A sandbox where the learner is now, with every state that the lesson came to: nothing is carried out anew."""
    title = tr("Sandbox beside: {lesson}").format(lesson=player.lesson.header.title)
    driver = SandboxDriver(title=title, session=Session(timeline=player.timeline.copy()))
    driver.bookmark(tr("the lesson"))
    driver.jumped()
    return driver
