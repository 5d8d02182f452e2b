"""A script in which a driver's first operation is about to begin, to be stepped through."""

from typing import Final

from model.driver_files.resolve import resolve
from model.driver_files.writing import one_line
from model.engine.config import SETTINGS

PAGES: Final = 2


def trial(text: str) -> tuple[tuple[str, ...], str]:
    """The lines that set the scene, and the operation; no operation: the first access. Raises ScriptError."""
    driver = resolve(text, SETTINGS["kernel"].values[0])
    borrowed = driver.backing == "borrow:memfd"
    seals = [f"seal f {' '.join(driver.require)}"] if borrowed and driver.require else []
    scene = [
        one_line(text),
        "process p0",
        *([f"memfd f {PAGES}", *seals] if borrowed else []),
        f"bo b {PAGES} exporter={driver.name}{' memfd=f' if borrowed else ''}",
        f"mmap p0 buf bo:b shared {'r' if driver.unwritable else 'rw'} {PAGES}",
    ]
    ops = [one.name for one in driver.ops]
    access = "read p0 buf" if driver.unwritable else "write p0 buf 65"
    if not ops:
        return tuple(scene), access
    name = "move" if "move" in ops else ops[0]
    filled = [access] if driver.at != "op" else []
    return (*scene, *filled), f"{name} b vram" if name == "move" else f"{name} b"
