"""Home without a screen: everything can be reached, and signs are explained."""

from io import StringIO

from rich.console import Console

from lessons.learner.progress import Store
from tui.plain.home import PlainHome


def told(store: Store, *lines: str) -> str:
    out = StringIO()
    console = Console(file=out, width=100, force_terminal=False, color_system=None)
    PlainHome(store, StringIO("".join(f"{line}\n" for line in lines)), console).run()
    return out.getvalue()


def test_a_lesson_a_drill_and_the_sandbox_are_reached_by_a_word_and_lead_back(store: Store) -> None:
    said = told(
        store,
        "copy-on-writ",
        "2",
        "?",
        "q",
        "drill",
        "h",
        "h",
        "h",
        "?",
        "s",
        "q",
        "sandbox",
        "process p0",
        "q",
        "l",
        "q",
    )
    assert "`copy-on-writ` opens nothing (did you mean `copy-on-write`?)." in said
    assert "How the walk works: " in said
    assert "of a frame: its refcount, its mapcount, how many of its references are pins" in said
    assert "Hint 1/2: " in said
    assert "Hint 2/2: " in said
    assert "These were all the hints." in said
    assert "A letter answers." in said
    assert said.count("[home]>") == 7 - 1
    assert "How the walk works, begun" in said
