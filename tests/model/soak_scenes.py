"""Random scenes for the search, out of what the soak plays: no step misses its object in any interleaving of them.

A scene follows from its number alone. It is the beginning of that episode, a few of its commands that succeed, and two
or three that may happen. The search goes through it to a bound; each way that it reports is walked on the plain kernel
and played back from the script that is printed of it; a small scene is compared with a search that remembers nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from model.script.parser import parse, parse_line
from model.script.runner import Runner
from model.script.scope import Scope
from model.search.bfs import Search, explore
from model.search.paths import Action, as_script, best_path, replay, verified
from model.search.problem import SearchProblem, set_up
from model.search.report import report
from model.text.problems import ScriptError
from tests.model import naive_search
from tests.model.random_scripts import Dialect
from tests.model.soak_episodes import SIMULATED, Episode, Find, Focused, place_of
from tests.model.test_random_scripts import possible

MOST_STATES: Final = 1500
FEW_STATES: Final = 200
"""So many are searched once more, in the naive way."""
TRIES: Final = 12
"""Commands that are drawn at most for two that may happen."""


def scene_of(number: int) -> tuple[tuple[str, ...], SearchProblem] | None:
    """The script of a scene, and what is to be searched; None where the numbers draw nothing that fits together."""
    episode = Episode(number)
    runner = Runner()
    lines = list(that_succeed(episode.prelude, runner))
    lines += that_succeed((episode.next_line(runner) for _ in range(episode.chance.number(0, 4))), runner)
    scope = Scope.of(runner.context.state)
    drawing = Focused(episode.chance, scope, Dialect((), episode.verbs, SIMULATED))
    permitted: list[str] = []
    for _ in range(TRIES):
        line = f"may {episode.chance.one_of((1, 1, 2))} {episode.command(drawing)}"
        try:
            scene = set_up(parse("\n".join((*lines, *permitted, line))))
        except ScriptError:
            continue
        permitted.append(line)
        if len(permitted) > episode.chance.number(1, 2):
            return (*lines, *permitted), scene
    return None


def that_succeed(drawn: Iterable[str], start: Runner) -> Iterator[str]:
    """Carry lines out, each on the machine that those before it have left; only what succeeds is kept."""
    for line in drawn:
        trial = start.copy()
        try:
            command = parse_line(line, Scope.of(trial.context.state))
            done = command is not None and possible(command) and trial.perform(command).outcome.status == "ok"
        except ScriptError:
            continue
        if done:
            start.context, start.checker = trial.context, trial.checker
            yield line


def search_scene(number: int) -> Find | None:
    """Search the scene of a number; what went wrong, if anything did."""
    made = scene_of(number)
    if made is None:
        return None
    lines, scene = made
    try:
        search = explore(scene, MOST_STATES)
        _look_at(scene, search)
    except Exception as error:  # noqa: BLE001 - any error at all is a find
        return Find(lines, f"{type(error).__name__} in {place_of(error)}")
    return None


def _look_at(scene: SearchProblem, search: Search) -> None:
    """Tell what was found, walk every way, and compare a small scene with the naive search."""
    report(search)
    for prop in search.distance:
        _play_back(search, verified(search, prop, best_path(search, prop)).actions)
    if search.complete and len(search.seen) <= FEW_STATES:
        assert naive_search.search(scene).distances == search.distance, "the naive search finds something else"


def _play_back(search: Search, actions: Sequence[Action]) -> None:
    """The script that is printed of a way (`begin`, `step`, `finish`) comes to the machine that the way leads to."""
    runner, walked = Runner(), search.scene.context.state
    for moved in replay(search.scene, actions):
        walked = moved.state
    for command in parse("\n".join(as_script(search, actions))):
        runner.perform(command)
    if runner.context.state != walked:
        raise AssertionError("another machine after the script that the search prints")
