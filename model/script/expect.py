"""`expect …`: does it hold in this context, and if not, what is there instead?"""

from collections.abc import Callable
from typing import Final, cast

from model.memory.flags import smaps_codes
from model.memory.ordered import ceiling, floor
from model.memory.records import Frame, Vma
from model.memory.state import State
from model.script.command import Command, Place
from model.script.context import Context
from model.script.places import Missing, check_names, page_entry, resolve


def verdict(context: Context, command: Command) -> str:
    """Empty if the expectation holds; otherwise what was expected and what was found."""
    what = str(command.operands["WHAT"])
    try:
        check_names(context.state, command)
        found = CHECKS[what](context, command)
    except Missing as missing:
        found = str(missing)
    return f"expected {command.text.removeprefix('expect').strip()}; found {found}" if found else ""


def _answer(matches: Callable[[Context, Command], bool]) -> Callable[[Context, Command], str]:
    """An expectation about the last command's result."""

    def check(context: Context, command: Command) -> str:
        if matches(context, command):
            return ""
        return f"{context.last}{f' ({context.last.message})' if context.last.message else ''}"

    return check


def _violations(context: Context) -> str:
    seen = sorted({violation.invariant for violation in context.violations})
    return f"violation {', '.join(seen)}" if seen else "no violation"


def _violation(context: Context, command: Command) -> str:
    seen = {violation.invariant for violation in context.violations}
    return "" if command.operands["NAME"] in seen else _violations(context)


def _no_violation(context: Context, command: Command) -> str:  # noqa: ARG001 -- as the others
    return _violations(context) if context.violations else ""


def _pages(context: Context, command: Command) -> tuple[str, int, int]:
    """(process, first page, end) that `present` or `absent` is about: a bare label means its first page."""
    process = str(command.operands["P"])
    start, pages = resolve(context.state, process, command, "WHERE")
    bare = cast("Place", command.operands["WHERE"]).pages == 0
    return process, start, start + (1 if bare else pages)


def _present(context: Context, command: Command) -> str:
    process, start, end = _pages(context, command)
    for vpn in range(start, end):
        entry = page_entry(context.state, process, vpn)
        if entry is None or not entry[0].present:
            return f"page {vpn} absent"
    return ""


def _absent(context: Context, command: Command) -> str:
    """Looks at what is there instead of at every page: the range may be astronomically wide."""
    process, start, end = _pages(context, command)
    for (owner, level, index), entry in context.state.tables.items():
        if owner == process and level == 1 and entry.huge and index << 9 < end and start < index + 1 << 9:
            return f"pages {index << 9} to {(index + 1 << 9) - 1} present"
    vpn = ceiling(context.state.pte_index, process, start)
    while vpn is not None and vpn < end:
        if context.state.ptes[process, vpn].present:
            return f"page {vpn} present"
        vpn = ceiling(context.state.pte_index, process, vpn + 1)
    return ""


def _count(read: Callable[[Frame], int], name: str) -> Callable[[Context, Command], str]:
    """An expectation about a number in the struct page behind a virtual page."""

    def check(context: Context, command: Command) -> str:
        pfn = _frame(context.state, command, "P", "WHERE")
        if pfn is None:
            return "no page mapped there"
        value = read(context.state.frames.get(pfn) or Frame())
        return "" if value == command.operands["N"] else f"{name} {value} of frame {pfn}"

    return check


def _frame(state: State, command: Command, process: str, place: str) -> int | None:
    """The frame that is mapped at a place, or None."""
    name = str(command.operands[process])
    entry = page_entry(state, name, resolve(state, name, command, place)[0])
    return entry[1] if entry and entry[0].present else None


def _same(context: Context, command: Command) -> str:
    mine, other = _frame(context.state, command, "P", "WHERE"), _frame(context.state, command, "P2", "WHERE2")
    return "" if mine is not None and mine == other else _both(mine, other)


def _differ(context: Context, command: Command) -> str:
    mine, other = _frame(context.state, command, "P", "WHERE"), _frame(context.state, command, "P2", "WHERE2")
    return "" if mine is not None and other is not None and mine != other else _both(mine, other)


def _both(mine: int | None, other: int | None) -> str:
    return " and ".join("no page" if pfn is None else f"frame {pfn}" for pfn in (mine, other))


def _vma(context: Context, command: Command) -> str:
    process = str(command.operands["P"])
    vpn = resolve(context.state, process, command, "WHERE")[0]
    start = floor(context.state.vma_index, process, vpn)
    vma: Vma | None = context.state.vmas.get((process, start)) if start is not None else None
    if vma is None or vma.end <= vpn:
        return "no mapping there"
    codes = smaps_codes(vma.flags)
    wanted = cast("tuple[str, ...]", command.options["flags"])
    return "" if set(wanted) <= set(codes) else f"flags={','.join(codes)}"


CHECKS: Final[dict[str, Callable[[Context, Command], str]]] = {
    "ok": _answer(lambda context, _: context.last.status == "ok"),
    "error": _answer(lambda context, command: context.last.errno == command.operands["ERRNO"]),
    "signal": _answer(lambda context, command: context.last.signal == command.operands["SIGNAL"]),
    "value": _answer(lambda context, command: context.last.value == command.operands["VALUE"]),
    "blocked": _answer(lambda context, _: context.last.status == "blocked"),
    "violation": _violation,
    "no": _no_violation,
    "present": _present,
    "absent": _absent,
    "refcount": _count(lambda frame: frame.refcount, "refcount"),
    "mapcount": _count(lambda frame: frame.mapcount, "mapcount"),
    "pincount": _count(lambda frame: frame.pins, "pincount"),
    "same": _same,
    "differ": _differ,
    "vma": _vma,
}
"""First word → what was found instead, empty if the expectation holds."""
