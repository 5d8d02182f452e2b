"""Exercises on the worlds of an author's own lessons: `refcount@my-world` asks on the scene of worlds/my-world.pte."""

from random import Random
from typing import Final

from lessons.drills.exercise import UnsuitableError, machine
from lessons.drills.scenes import DrillScene
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import WORLDS, lesson_folders, own_worlds
from model.text.problems import ScriptError

MOST_BYTES: Final = 100_000
"""A script longer than that sets no scene that anybody looks through."""


class WorldError(ValueError):
    """No exercise can be asked on a world, and why, in one line."""


def world_lines(name: str) -> tuple[str, ...]:
    """The commands of a world. Raises WorldError."""
    if name not in own_worlds():
        known = ", ".join(own_worlds()) or tr("none")
        said = tr("no folder of your own has the world {name} (there are: {known})")
        raise WorldError(said.format(name=name, known=known))
    path = next(path for folder in lesson_folders() if (path := folder / WORLDS / f"{name}.pte").is_file())
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode()
        lines = tuple(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))
        machine(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except ScriptError as error:
        raise WorldError(f"{path}: {error.problems[0].message}") from None
    except UnsuitableError as error:
        raise WorldError(tr("{file}: this command sets no scene: {line}").format(file=path, line=error)) from None
    return lines


def world_scene(lines: tuple[str, ...], dice: Random) -> DrillScene:
    """A page of the world, and what could be done next. Raises WorldError where nothing is mapped."""
    state = machine(lines).context.state
    places = sorted(state.labels.items())
    if not places:
        raise WorldError(tr("nothing is mapped in that world, so nothing can be asked about it"))
    (process, label), place = dice.choice(places)
    page = dice.randrange(min(place.pages, 8))
    where = f"{process} {label}+{page}"
    taken = {*state.references, *state.processes}
    fresh = [name for name in ("r0", "r1", "r2", "p1", "p2", "p3") if name not in taken]
    reference, child = fresh[0], next(name for name in reversed(fresh) if name[0] == "p")
    commands = [
        f"write {where} {dice.randint(1, 99)}",
        f"read {where}",
        f"munmap {where}",
        f"madvise {where} dontneed",
        f"gup {where} as={reference} write",
        f"gup {where} as={reference} write pin",
        f"gup {where} as={reference}",
        f"mprotect {where} r",
        f"fork {process} {child}",
        f"migrate {where}",
        *(f"put {name}" for name in sorted(state.references)),
        *(f"write {other} {name}+{page} 77" for other, name in state.labels if name == label and other != process),
    ]
    held = any(where_from.process == process for where_from in state.references.values())
    return DrillScene(lines, process, label, page, place.pages, "", held, len(state.processes) > 1, tuple(commands))
