"""`W why`: offered with every alarm of every rule, wherever one is told, and never while a question is open."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.play.player import Player
from model.invariants.registry import INVARIANTS
from model.script.parser import parse
from model.session.session import Session
from tests.model.rule_states import SCRIPTS
from tests.tui.user import NORMAL, SMALL, at
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.plain.lesson import PlainLesson
from tui.plain.sandbox import PlainSandbox
from tui.screens.presenter import Presenter
from tui.screens.stage import Stage
from tui.screens.why import Why
from tui.session.why_query import offered
from tui.views.view_model import LogLine, Picture, ShownViolation
from tui.views.why import accounts

QUESTION = "the-secret-of-a-stranger"
STALE = "anonymous memory, a pin gone stale"


def alarmed(picture: Picture, *, asked: bool) -> Iterator[Picture]:
    """The picture with an alarm of each rule; with its question or without."""
    tale = picture.tale if asked else picture.tale._replace(ask=None)
    for rule in INVARIANTS.values():
        alarm = ShownViolation(rule.name, rule.severity, ("frame:5",), "It is wrong.", rule.symptom, "step 1", 1, True)
        yield picture._replace(tale=tale, broken=(alarm,))


@pytest.mark.parametrize("size", [NORMAL, SMALL])
@pytest.mark.parametrize("place", ["lesson", "sandbox", "presentation"])
async def test_every_alarm_on_a_screen_offers_why(store: Store, place: str, size: tuple[int, int]) -> None:
    driver = SandboxDriver(parse(SCRIPTS[STALE])) if place == "sandbox" else lesson_driver(find(QUESTION), store)
    async with at(store, driver, size) as user:
        if place == "presentation":
            await user.press("P")
        screen = user.screen
        assert isinstance(screen, Presenter if place == "presentation" else Stage)
        bars = screen.bars if isinstance(screen, Presenter) else screen.panes["foot"]
        assert bars.build is not None
        asks = driver.picture().tale.ask is not None
        assert asks == (place != "sandbox")
        for asked in (False, True) if asks else (False,):
            for picture in alarmed(driver.picture(), asked=asked):
                screen.picture = picture
                told = "\n".join(row.text for row in bars.build(size[0]))
                assert ("W why" in told) == (not asked), picture.broken[0].invariant
                assert asked is ("after your answer" in told) or place == "presentation"


async def test_the_key_says_nothing_while_a_question_is_open(store: Store) -> None:
    async with at(store, lesson_driver(find(QUESTION), store)) as user:
        stage = user.stage
        stage.picture = next(alarmed(stage.driver.picture(), asked=True))
        await user.press("W")
        assert not isinstance(user.screen, Why)
        await user.press("P")
        screen = user.screen
        assert isinstance(screen, Presenter)
        screen.picture = stage.picture
        await user.press("W")
        assert user.screen is screen
        assert "after your answer" in user.seen()


async def test_rules_and_log_say_nothing_while_a_question_is_open_and_the_same_as_before_after_it(store: Store) -> None:
    async with at(store, lesson_driver(find(QUESTION), store)) as user:
        pane, log = user.stage.panes["rules"], user.stage.panes["log"]
        untold, asked = (next(alarmed(user.stage.picture, asked=asked)) for asked in (False, True))
        for picture in (untold, asked, untold):
            lines = LogLine("> dma r write 65"), LogLine("! hazard: stale-reference", "hazard", alarm=True)
            user.stage.picture = picture._replace(log=lines)
            pane.renew()
            log.renew()
            assert ("It is wrong." in user.pane("rules")) == (picture is untold)
            assert ("stale-reference" in user.pane("log")) == (picture is untold)
            assert "dma r write" in user.pane("log")


async def test_the_alarm_is_explained_wherever_the_cursor_is(store: Store) -> None:
    async with at(store, SandboxDriver(parse(SCRIPTS[STALE]))) as user:
        user.stage.point("process:p0")
        await user.press("W")
        assert "corruption lost-write" in user.seen()
        assert "cleared the entry of p0 buf" in user.seen()


def test_every_alarm_of_a_scene_names_the_steps_behind_it() -> None:
    told: set[str] = set()
    for text in SCRIPTS.values():
        session = Session()
        for line in filter(None, map(str.strip, text.splitlines())):
            session.run(line)
            here = session.node
            alarms = (*here.new, *here.checker.violations)
            found = dict(accounts(session.timeline, "")) if alarms else {}
            for violation in alarms:
                assert found[f"{violation.severity} {violation.invariant}"], f"{violation.invariant}: no step is named"
                told.add(violation.invariant)
    assert told > {"foreign-access", "foreign-dma", "lost-write", "read-only-write", "secret-access", "stale-tlb"}


def plain(text: str, typed: str) -> str:
    output = io.StringIO()
    PlainSandbox(SandboxDriver(parse(text)), io.StringIO(typed), Console(file=output, width=200, no_color=True)).run()
    return output.getvalue()


def test_a_text_offers_why_with_the_command_that_did_it() -> None:
    setup, _, _ = SCRIPTS[STALE].partition("        madvise p0 buf dontneed\n")
    assert offered() not in plain(setup, "read p0 buf\n")
    told = plain(setup, "madvise p0 buf dontneed\n")
    assert told.index("stale-reference") < told.index(offered())
    assert "cleared the entry" in plain(setup, "madvise p0 buf dontneed\nwhy\n")


def played(lesson: str, store: Store, typed: str) -> str:
    output = io.StringIO()
    console = Console(file=output, width=100, no_color=True)
    PlainLesson(Player(find(lesson), store.lesson(lesson)), store, io.StringIO(typed), console).run()
    return output.getvalue()


def test_a_lesson_as_text_offers_why_and_answers(store: Store) -> None:
    told = played("a-reference-is-not-a-mapping", store, "\n1\n" + "c\n" * 6 + "2\n" + "c\n" * 3 + "why\nwhy nobody\n")
    assert told.index("stale-reference") < told.index(offered()) < told.index("hazard stale-reference:\n")
    assert "there is no `nobody`" in told
    assert "rules: after your answer" in played(QUESTION, store, "why\n")
