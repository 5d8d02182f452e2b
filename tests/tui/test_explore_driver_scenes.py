"""What a driver writer asks of `ptescope explore`: scenes that once got an empty or a misleading answer."""

from typing import Any, NamedTuple

import pytest

from tests.tui.test_explore_command import explored

BUFFER = """\
set kernel 6.1
{settings}process p0
device dev
bo b {pages} in=gtt exporter={exporter}
mmap p0 m bo:b shared rw {pages}
write p0 m 7
"""
MEMORY = "process p0\nmmap p0 m anon private rw 1\nwrite p0 m 3\n"


def buffer(exporter: str, lines: str, *, pages: int = 1, settings: str = "") -> str:
    return BUFFER.format(exporter=exporter, pages=pages, settings=settings) + lines


class Scene(NamedTuple):
    """A question and its answer."""

    text: str
    status: int
    options: tuple[str, ...] = ()
    says: dict[str, Any] = {}  # noqa: RUF012 -- never changed
    """Members of the JSON object."""


HELD = (
    "gup p0 m as=r write pin longterm by=dev\nmove b vram\nmove b gtt\nread p0 m\n"
    "may 1 dma r write 80\nmay 1 read p0 m\n"
)
TWO_BUFFERS = (
    "process p1\nmay 1 mirror p0 m as=r by=dev\nmay 1 move b vram\nmay 1 bo b2 1 in=gtt exporter=qxl\n"
    "may 1 mmap p1 m2 bo:b2 shared rw 1 populate\nmay 2 dma r write 80\nmay 1 put r\n"
)
DAX = "set kernel 6.1\nprocess p0\ndevice dev\ndax f {pages}\nmmap p0 m dax:f shared rw {pages}\nwrite p0 m 7\n"
SCENES = {
    "a reference that is put lets truncate go on, whoever maps the file": Scene(
        DAX.format(pages=2)
        + "may 1 gup p0 m as=r write slow by=dev\nmay 1 truncate f 0\nmay 1 put r\nmay 1 munmap p0 m\n",
        0,
        says={"never_ends": None, "complete": True},
    ),
    "a truncate that waits for a reference nobody puts": Scene(
        DAX.format(pages=1) + "may 1 gup p0 m as=r write by=dev\nmay 1 truncate f 0\n", 5
    ),
    "an expectation behind the first may is about every end": Scene(
        MEMORY + "may 1 write p0 m 4\nmay 1 madvise p0 m dontneed\nexpect present p0 m\n", 1, says={"violations": []}
    ),
    "a move that never succeeds shows nothing": Scene(
        buffer("qxl", "may 1 follow p0 m as=r by=dev\nmay 1 move b vram\nmay 1 dma r write 80\n", pages=128),
        4,
        says={"vacuous": True},
    ),
    "a frame that comes back by luck of the allocator": Scene(buffer("insert-page", HELD), 0),
    "another frame than was there": Scene(buffer("insert-page", HELD, settings="set allocator any\n"), 1),
    "moves without limit come to an end": Scene(
        buffer("insert-page", "may 1 read p0 m\nmay * move b vram\nmay * move b gtt\n"),
        0,
        says={"complete": True, "schedules": None},
    ),
    "calls without limit come to an end": Scene(
        MEMORY + "may * write p0 m 4\nmay * madvise p0 m dontneed\n", 0, says={"complete": True, "schedules": None}
    ),
    "too many schedules for a verdict, but all without a pre-emption": Scene(
        buffer("qxl", TWO_BUFFERS + "may 1 read p0 m\n"),
        3,
        ("--max-states", "25000"),
        says={"complete": False, "preemptions_proved": 0, "violations": []},
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_answer_is_right_and_not_empty(name: str) -> None:
    scene = SCENES[name]
    status, found = explored(scene.text, *scene.options)
    assert (status, {key: found[key] for key in scene.says}) == (scene.status, scene.says)


def test_what_was_broken_in_an_unfinished_search_may_be_broken_always() -> None:
    attack = "may 1 gup p0 m as=r write by=dev\nmay 1 dma r write 80\nmay 1 evict b\nmay 1 read p0 m\n"
    assert explored(buffer("insert-page", attack))[1]["verdicts"]["unguarded-reference"] == "always"
    status, found = explored(buffer("insert-page", attack), "--first")
    assert (status, found["complete"], found["verdicts"]["unguarded-reference"]) == (1, False, None)


def test_threads_of_one_process_overlap_gup_fast() -> None:
    """With interrupts off on the only CPU nothing of the process would come between; on two CPUs it does."""
    calls = MEMORY + "device dev\nmay 1 gup p0 m as=r write fast by=dev\nmay 1{} madvise p0 m dontneed\n"
    threads, alone = explored(calls.format(""))[1], explored(calls.format(" cpu=0"))[1]
    assert threads["schedules"] > alone["schedules"]
