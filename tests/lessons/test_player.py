"""The player: what may be done where, going back and forward, hints, goals, and coming back another day."""

from collections.abc import Callable
from random import Random

import pytest

from lessons.file.library import find
from lessons.file.problems import LessonError
from lessons.learner.progress import LessonProgress
from lessons.play.any_answer_player import go_on
from lessons.play.player import Player
from model.session.session import MOST_KEPT
from tests.lessons.small_lesson import small


@pytest.fixture
def player() -> Player:
    return Player(small())


def to_the_goal(player: Player) -> Player:
    """Past both predictions and the command between them."""
    player.answer("1")
    while player.goal is None:
        if player.forward():
            player.answer("1")
    return player


def test_nothing_is_shown_before_a_guess(player: Player) -> None:
    assert "Answer first" in player.forward()
    assert player.view().number == 1
    assert player.view().may == {"answer", "hint"}


def test_a_question_has_the_models_numbers_in_it(player: Player) -> None:
    assert player.view().ask == "Its refcount is 1. After another page is written?"


def test_the_guess_stays_beside_the_truth(player: Player) -> None:
    assert player.answer("2") == ""
    assert player.view().guess == "2"
    assert player.view().judged == ()
    player.forward()
    player.forward("command")
    assert player.view().judged == ()
    player.forward("command")
    (judged,) = player.view().judged
    verdict = judged.verdict
    assert verdict == (False, "2", "1", "That is another page.")
    player.go(0)
    assert player.view().judged[0].verdict == verdict


def test_a_guess_can_be_changed_until_it_is_revealed(player: Player) -> None:
    player.answer("2")
    assert player.answer("1") == ""
    to_the_goal(player)
    player.go(0)
    assert "has been shown" in player.answer("2")
    assert player.judged["count"].right


@pytest.mark.parametrize("typed", ["", "many", "-", "--1", "- 1", "1.5", "007"])
def test_what_is_no_answer_is_refused(player: Player, typed: str) -> None:
    assert "a number, please" in player.answer(typed)
    assert player.view().guess == ""


@pytest.mark.parametrize(("typed", "kept"), [("-1", "-1"), (" -0x10 ", "-16"), ("-0", "0"), ("0X401", "1025")])
def test_a_number_may_be_negative_or_hexadecimal(player: Player, typed: str, kept: str) -> None:
    assert player.answer(typed) == ""
    assert player.view().guess == kept


def test_a_choice_is_made_by_number_or_letter(player: Player) -> None:
    player.answer("1")
    while player.forward() == "" and player.view().number < 3:
        pass
    assert "1 to 2" in player.answer("3")
    assert player.answer("B") == ""
    (judged,) = player.view().judged
    verdict = judged.verdict
    assert verdict == (False, "66", "65", "That is in the other page.")


def test_a_command_is_played_function_by_function_or_as_finely_as_one_likes(player: Player) -> None:
    player.answer("1")
    player.forward()
    assert player.view().upcoming == "write p0 buf+1 66"
    assert player.view().next_step is not None
    player.forward()
    assert {played_step.stepped.procedure for played_step in player.view().played_steps if played_step.stepped} == {
        "cpu_store"
    }
    player.forward("into")
    assert [played_step.name for played_step in player.view().played_steps] == ["mmu_access.tlb_lookup"]
    player.forward("over")
    assert len(player.view().played_steps) == 1
    player.forward("out")
    assert {played_step.stepped.depth for played_step in player.view().played_steps if played_step.stepped} >= {1, 2}
    player.forward("command")
    last = player.view().played_steps[-1]
    assert last.name == "cpu_store.store_byte"
    assert last.outcome is not None
    assert last.remark == f"The byte arrives in frame {last.standing.context.state.ptes['p0', 17].pfn}."


def test_back_and_forward_lead_through_the_same_states(player: Player) -> None:
    to_the_goal(player)
    there = player.here
    states = []
    while player.back() == "":
        states.append(player.standing.context.state)
    assert "beginning" in player.back()
    for state in reversed(states):
        assert player.standing.context.state == state
        assert player.timeline.here.state == state
        player.forward()
    assert player.here == there
    assert len(player.places) == there + 1


def test_a_goal_is_reached_with_ones_own_commands(player: Player) -> None:
    to_the_goal(player)
    assert player.view().goal == ((False, "the first page is gone"), (True, "the second is there"))
    assert "not reached yet" in player.forward()
    assert player.command("munmap p0 buf+0") == ""
    assert all(met for met, _ in player.view().goal)
    assert player.forward() == ""
    assert player.view().finished
    assert player.reached == {"gone"}
    assert "end of the lesson" in player.forward()


@pytest.mark.parametrize(
    ("line", "message"), [("raed p0 buf", "did you mean `read`"), ("read p7 buf", "p7"), ("read p0", "WHERE")]
)
def test_a_mistyped_command_is_explained_and_changes_nothing(player: Player, line: str, message: str) -> None:
    to_the_goal(player)
    here = player.here
    assert message in player.command(line)
    assert player.here == here


def test_an_empty_line_is_no_command(player: Player) -> None:
    to_the_goal(player)
    here = player.here
    assert player.command("  ") == ""
    assert player.here == here


def test_commands_are_for_goals_and_answers_for_questions(player: Player) -> None:
    assert "where there is a goal" in player.command("read p0 buf")
    to_the_goal(player)
    assert "Nothing is asked" in player.answer("1")


def test_going_back_and_doing_something_else_grows_a_branch(player: Player) -> None:
    to_the_goal(player)
    start = player.here
    player.command("munmap p0 buf")
    first = player.here
    assert not player.view().goal[1][0]
    player.go(start)
    player.command("madvise p0 buf+0 dontneed")
    assert all(met for met, _ in player.view().goal)
    assert player.following(start) == [first, player.here]
    player.go(start)
    player.command("munmap p0 buf")
    assert player.here == first


def test_hints_come_in_rungs_and_the_last_two_of_a_goal_fit_where_one_stands(player: Player) -> None:
    to_the_goal(player)
    player.command("read p0 buf+1")
    kinds = []
    while player.hint() == "":
        kinds.append(player.view().hints[-1])
    assert [hint.kind for hint in kinds] == ["where", "what", "next", "show"]
    assert "madvise p0 buf+0 dontneed" in kinds[2].text
    assert player.forward() == ""
    assert player.place.typed == ("read p0 buf+1", "madvise p0 buf+0 dontneed")
    assert "goal is reached" in player.view().hints[-1].text
    assert player.forward() == ""
    assert player.finished


def test_who_has_gone_astray_is_sent_back(player: Player) -> None:
    to_the_goal(player)
    player.command("munmap p0 buf")
    for _ in range(4):
        player.hint()
    assert "go back" in player.view().hints[-1].text
    assert "go back" in player.forward()
    player.back()
    assert player.forward() == ""


def test_hints_of_a_question_are_the_authors(player: Player) -> None:
    for kind in ("where", "what", "next", "show"):
        assert player.hint() == ""
        assert player.view().hints[-1].kind == kind
    assert "last hint" in player.hint()


def test_where_nothing_can_be_done_wrong_there_is_no_hint(player: Player) -> None:
    player.answer("1")
    player.forward()
    assert "no hint here" in player.hint()


def test_back_undoes_the_last_move_however_the_same_steps_were_gone_before(player: Player) -> None:
    player.answer("1")
    player.forward()
    start = player.here
    for _ in range(3):
        player.forward("into")
    finely = player.timeline.here
    player.go(start)
    player.forward("command")
    assert len(player.view().played_steps) > 3
    assert finely in player.timeline.path_to(player.timeline.here), "the same steps are the same nodes"
    player.back()
    assert player.here == start


def test_a_scene_is_set_once_and_is_a_way_of_its_own_from_the_start() -> None:
    player = Player(find("fault-against-move"))
    while player.place.scene == player.places[0].scene:
        assert go_on(player) == ""
    second, nodes = player.place, len(player.timeline.nodes)
    first = player.timeline.nodes[player.places[second.came_from].at]
    assert first not in player.timeline.path_to(player.timeline.here)
    assert player.step == 0
    assert player.back() == ""
    assert player.timeline.here is first
    assert player.forward() == ""
    assert player.place == second
    assert len(player.timeline.nodes) == nodes


# -- coming back -------------------------------------------------------------------------------------


def every_place(player: Player) -> list[LessonProgress]:
    """The progress at every step of the whole lesson."""
    found = [player.progress()]
    player.answer("1")
    while not player.finished:
        if player.forward():
            if player.goal is not None:
                player.command("read p0 buf+1" if not player.place.typed else "madvise p0 buf+0 dontneed")
            else:
                player.answer("2")
        found.append(player.progress())
    return found


def test_a_lesson_is_resumed_at_the_very_step(player: Player) -> None:
    for progress in every_place(player):
        again = Player(small(), progress)
        assert again.progress() == progress
        assert (again.place.item, again.place.played) == (progress.item, progress.step)


def test_what_was_guessed_and_revealed_is_still_there(player: Player) -> None:
    player.answer("2")
    to_the_goal(player)
    again = Player(small(), player.progress())
    assert again.judged == player.judged
    assert again.standing.context.state == player.standing.context.state
    assert [again.back() for _ in range(3)] == ["", "", ""]


def test_after_the_text_has_changed_one_comes_back_to_the_beginning_of_the_item(player: Player) -> None:
    player.answer("1")
    player.forward()
    player.forward()
    progress = player.progress()
    again = Player(small("That was all.", "That was it."), progress)
    assert (again.place.item, again.place.played) == (1, 0)


def test_a_question_that_is_new_stops_the_way_back(player: Player) -> None:
    progress = to_the_goal(player).progress()
    again = Player(small('id = "count"', 'id = "number"'), progress)
    assert again.place.item == 0
    assert again.view().guess == ""


@pytest.mark.parametrize(
    "progress",
    [
        LessonProgress(item=99),
        LessonProgress(item=3, guesses={"count": "", "where": "9", "gone": "x"}),
        LessonProgress(item=3, guesses={"count": "1", "where": "1"}, commands={"gone": ("nonsense", "")}),
        LessonProgress(item=1, step=10**9, guesses={"count": "1"}, hints={"count": 99, "x": -3}),
    ],
)
def test_progress_that_cannot_be_true_does_no_harm(progress: LessonProgress) -> None:
    player = Player(small(), progress)
    player.view()
    assert player.place.item <= 4


def test_who_has_finished_once_has_finished_for_good(player: Player) -> None:
    to_the_goal(player)
    progress = LessonProgress(finished=True, item=player.place.item)
    assert Player(small(), progress).finished


def test_a_lesson_that_cannot_be_played_says_where() -> None:
    broken = Player(small("write p0 buf+1 66", "write p0 bof+1 66"))
    broken.answer("1")
    broken.forward()
    with pytest.raises(LessonError, match=r"small.md:\d+:10: .*bof"):
        broken.view()


def test_a_very_long_command_is_kept_short_without_losing_a_change(player: Player) -> None:
    to_the_goal(player)
    before = player.standing.context.state
    assert player.command("mmap p0 big anon private rw 3000 populate") == ""
    played_steps = player.place.played_steps
    assert len(played_steps) == MOST_KEPT + 1
    after = player.standing.context.state
    assert len(after.ptes) == len(before.ptes) + 3000
    mapped = {change.key for played_step in played_steps for change in played_step.changes if change.table == "ptes"}
    assert len(mapped) == 3000
    touched = {(change.table, change.key): change.new for played_step in played_steps for change in played_step.changes}
    assert touched["processes", "p0"] == after.processes["p0"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_learner_does_the_player_stays_sound(seed: int) -> None:
    """Random moves; after each the view can be shown, and the place can be come back to."""
    chance = Random(seed)
    player = Player(small())
    commands = ("munmap p0 buf", "read p0 buf+1", "fork p0 p1", "exit p0", "madvise p0 buf+0 dontneed", "junk", "")
    moves: tuple[Callable[[], str], ...] = (
        player.forward,
        player.forward,
        lambda: player.forward(chance.choice(("into", "over", "out", "command"))),
        player.back,
        lambda: player.go(chance.randrange(-1, len(player.places) + 1)),
        lambda: player.answer(chance.choice(("1", "2", "b", "yes", ""))),
        player.hint,
        lambda: player.command(chance.choice(commands)),
    )
    for _ in range(150):
        here = player.here
        word = chance.choice(moves)()
        view = player.view()
        assert not word or player.here == here
        assert ("forward" in view.may) == (not player.forward()) or view.finished
        player.go(here)
        assert player.timeline.here.state == player.standing.context.state
    again = Player(small(), player.progress())
    assert again.place.item <= player.place.item
