"""Small scenes thrown by dice: a process, some pages, perhaps a child, a file, a reference; and what is next."""

from random import Random
from typing import NamedTuple

from model.memory.state import State

LETTERS = "abcdefgh"


class DrillScene(NamedTuple):
    """Commands, and the page that everything is about."""

    lines: tuple[str, ...]
    process: str
    label: str
    page: int
    pages: int
    backing: str
    """`anon` or `memfd`."""
    held: bool
    """The card holds a reference to the page, `r0`."""
    forked: bool
    commands: tuple[str, ...] = ()
    """What could be done next, where that is not as in the scenes thrown here."""

    @property
    def where(self) -> str:
        """The page as commands name it."""
        return f"{self.process} {self.label}+{self.page}"


def scene(dice: Random) -> DrillScene:
    """One process with a mapping of one to three pages, some of them touched."""
    pages = dice.randint(1, 3)
    page = dice.randrange(pages)
    backing = dice.choice(("anon", "anon", "memfd"))
    lines = ["process p0", "device nic"]
    if backing == "memfd":
        lines += [f"memfd f {pages}", f"mmap p0 buf memfd:f shared rw {pages}"]
    else:
        lines.append(f"mmap p0 buf anon private rw {pages}")
    touched = sorted({page, *dice.sample(range(pages), dice.randint(0, pages))})
    lines += [f"write p0 buf+{number} {dice.randint(1, 99)}" for number in touched]
    forked = dice.random() < 0.35
    held = dice.random() < 0.5
    take = f"gup p0 buf+{page} as=r0 write{dice.choice((' pin', ''))} by=nic"
    if forked and held and dice.random() < 0.5:
        lines += [take, "fork p0 p1"]
    else:
        lines += ["fork p0 p1"] * forked + [take] * held
    return DrillScene(tuple(lines), "p0", "buf", page, pages, backing, held, forked)


def next_commands(found: DrillScene, dice: Random) -> list[str]:
    """What could be done next to the page, in no order."""
    if found.commands:
        return dice.sample(found.commands, len(found.commands))
    byte = dice.randint(1, 99)
    one = found.where
    commands = [
        f"write {one} {byte}",
        f"read {one}",
        f"munmap {one}",
        f"madvise {one} dontneed",
        f"gup {one} as=r1 write",
        f"gup {one} as=r1 write pin by=nic",
        f"gup {one} as=r1",
        f"mprotect {one} r",
        "fork p0 p2",
    ]
    if found.held:
        commands.append("put r0")
    if found.forked:
        child = f"p1 {found.label}+{found.page}"
        commands += [f"write {child} {byte}", f"read {child}", f"munmap {child}", "exit p1"]
    if found.backing == "memfd":
        commands += [f"punch f {found.page} 1", "truncate f 0"]
    else:
        commands += [f"reclaim {one}", f"migrate {one}"]
    dice.shuffle(commands)
    return commands


def pfn_at(state: State, process: str, label: str, page: int) -> int | None:
    """The frame that a page leads to; None if it leads to none."""
    place = state.labels.get((process, label))
    pte = state.ptes.get((process, place.start + page)) if place else None
    return pte.pfn if pte is not None and pte.present else None
