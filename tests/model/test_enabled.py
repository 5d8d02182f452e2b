"""What is offered to a search: understood wherever one stands, and enough to find what the scenes are about."""

from pathlib import Path

import pytest

from model.script.parser import parse, parse_permissions
from model.script.runner import Runner
from model.script.scope import Scope
from model.search.bfs import explore
from model.search.enabled import MOST_PROPOSED, enabled_commands, proposed
from model.search.problem import from_here

SCENES = sorted(Path("lessons/scenes").glob("*.pte"))
WORLDS = sorted(Path("lessons/course/worlds").glob("*.pte"))


def run(text: str) -> Runner:
    runner = Runner()
    for command in parse(text):
        runner.perform(command)
    return runner


@pytest.mark.parametrize("path", [*SCENES, *WORLDS], ids=lambda path: path.stem)
def test_every_line_can_be_understood_where_it_is_offered(path: Path) -> None:
    state = run(path.read_text(encoding="utf-8")).context.state
    found = enabled_commands(state)
    lines = [f"may 1 {offer.line}" for offer in found]
    assert len(parse_permissions(lines, Scope.of(state))) == len(found)
    assert len({offer.line for offer in found}) == len(found)
    assert proposed(found) <= {offer.line for offer in found}


def test_nothing_is_offered_on_an_empty_machine() -> None:
    assert not enabled_commands(run("").context.state)


@pytest.mark.parametrize(
    ("scene", "invariant"),
    [
        ("process p\ndevice d\nmmap p a anon private rw 1\nwrite p a 1\ngup p a as=r write pin by=d", "lost-write"),
        (
            (
                "process p\ndevice d\nbo b 1 in=gtt exporter=insert-page caching=cached\nexport b as=e\n"
                "mmap p a dmabuf:e shared rw 1\nwrite p a 1\ngup p a as=r write pin by=d"
            ),
            "lost-write",
        ),
        (
            "process p\ndevice d\nmemfd f 1\nmmap p a memfd:f shared rw 1\nwrite p a 1\ngup p a as=r write by=d",
            "stale-reference",
        ),
    ],
)
def test_what_is_proposed_finds_what_can_go_wrong(scene: str, invariant: str) -> None:
    runner = run(scene)
    state = runner.context.state
    lines = [f"may 1 {line}" for line in sorted(proposed(enabled_commands(state)))]
    search = explore(from_here(runner.context, runner.checker, parse_permissions(lines, Scope.of(state))), 60_000)
    assert invariant in {name for name, _ in search.found}


def test_tasks_in_flight_take_the_place_of_what_is_proposed() -> None:
    scene = "process p\nmmap p a anon private rw 1\nwrite p a 1\n"
    found = enabled_commands(run(scene).context.state)
    assert len(proposed(found)) == MOST_PROPOSED
    assert len(proposed(found, in_flight=1)) == 1
    assert not proposed(found, in_flight=2)
