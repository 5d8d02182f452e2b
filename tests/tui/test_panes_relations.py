"""Every kind of thing has its place in a pane, so that the cursor can stand on it and light up its relatives."""

from model.session.relations import POINTS_TO, subjects
from model.session.session import Session
from tests.model.test_relations import SCENE
from tui.views.holders import holders
from tui.views.physical import physical
from tui.views.row import stops
from tui.views.shown_state import ShownState
from tui.views.spaces import spaces
from tui.views.walk import walk

MORE = (
    "device gpu",
    "write p0 buf+2 7",
    "mirror p0 buf+2 as=mm by=gpu",
    "process p2",
    "mmap p2 cold anon private rw 1",
    "write p2 cold 1",
    "reclaim p2 cold",
    "begin u mprotect p0 buf r",
    "step u 3",
)


def test_everything_in_a_full_machine_is_shown_somewhere() -> None:
    session = Session()
    for line in (*SCENE, *MORE):
        session.run(line)
    there = set(subjects(session.state)) | {"notifier:p0"}
    assert {about.partition(":")[0] for about in there} >= {*POINTS_TO, "frame"}
    shown: set[str] = set()
    for focus in sorted(about for about in there if about.startswith("pte:")):
        scene = ShownState(session.state, focus=focus)
        for rows in (spaces(scene, 100), walk(scene, 100), physical(scene, 100), holders(scene, 100)):
            shown.update(stop.subject for stop in stops(rows))
    assert there - shown == set()
