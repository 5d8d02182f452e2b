"""What the kernel of this machine did beside the model: a line a command, what differs, and a verdict."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lessons.i18n.language import ntr, tr
from model.replay.recording import PinRow, Seen
from tui.live.side_by_side import Compared, FieldDifference


class LiveCount(NamedTuple):
    """How a script fared."""

    done: int
    agreed: int
    skipped: int

    @classmethod
    def of(cls, found: Iterable[Compared]) -> "LiveCount":
        """Count commands: those carried out, those of them that agree, those carried out on neither machine."""
        rows = [one for one in found if not is_word(one)]
        done = [one for one in rows if not one.skipped]
        return cls(len(done), sum(not one.differences for one in done), len(rows) - len(done))


def is_word(found: Compared) -> bool:
    """It is said to the reader or to the judge and does nothing to any machine."""
    return found.command.verb in ("note", "expect", "always", "never", "final", "device")


def heading(release: str, model: str, seen: Seen) -> str:
    """Which kernels stand side by side, and what is looked at."""
    return tr("Linux {release} beside the model of {model}. {seen}").format(
        release=release, model=model, seen=what_is_seen(seen)
    )


def what_is_seen(seen: Seen) -> str:
    """What is compared on this level, and what is not."""
    if "refcount" in seen.counts:
        return tr(
            "Compared: answers, VMAs, entries with all their bits, frames, refcounts, pins, mapcounts, page flags, "
            "contents."
        )
    if seen.frames:
        return tr(
            "Compared: answers, VMAs, entries, frames, mapcounts, page flags, contents. "
            "Refcounts need CAP_BPF and CAP_PERFMON."
        )
    return tr(
        "Compared: answers, VMAs, which entries are present, swapped out or shared, and what their pages hold. "
        "Frame numbers and mapcounts need CAP_SYS_ADMIN."
    )


def lines(found: Compared) -> Iterator[str]:
    """One command: what it answered, or why it was not carried out; then every difference."""
    if is_word(found):
        return
    head = f"{found.command.line:4}  {found.command.shown}"
    if found.skipped:
        yield tr("{command}  not carried out: {reason}").format(command=head, reason=found.skipped)
        return
    yield f"{head}  → {found.kernel}"
    for difference in found.differences:
        yield "      ≠ " + sentence(difference)


def sentence(difference: FieldDifference) -> str:
    """A difference for a reader."""
    where, kernel, model = field(difference.field), value(difference.kernel), value(difference.model)
    return tr("{where}: the kernel has {kernel}, the model {model}").format(where=where, kernel=kernel, model=model)


def field(name: str) -> str:
    """`procs.p0.ptes.16` → `p0 page 16`."""
    match name.split("."):
        case ["result"]:
            return tr("answer")
        case ["procs", process, "vmas"]:
            return tr("{process}, VMAs").format(process=process)
        case ["procs", process, "ptes", page]:
            return tr("{process} page {page}").format(process=process, page=page)
        case ["phys", frame]:
            return tr("frame {frame}").format(frame=frame)
        case ["pins", reference]:
            return tr("reference {name}").format(name=reference)
        case ["freed"]:
            return tr("freed frames")
        case _:
            return name


def value(one: Any) -> str:
    """A field's value in a few words."""
    if one is None:
        return tr("none")
    if isinstance(one, PinRow):
        return f"{one.kind} {' '.join(one.frames)}"
    if isinstance(one, dict):
        return ", ".join(f"{key} {value(part)}" for key, part in one.items())
    if isinstance(one, tuple | list):
        return " ".join(value(part) for part in one if part is not None and part != "") or tr("none")
    return str(one)


def verdict(tally: LiveCount, release: str, seen: Seen) -> str:
    """How many commands agree, on which kernel, and what was compared."""
    if "refcount" in seen.counts:
        compared = tr("frames, refcounts, mapcounts and contents compared")
    elif seen.frames:
        compared = tr("frames, mapcounts and contents compared")
    else:
        compared = tr("answers, entries and contents compared")
    text = ntr("{agreed} of {done} command agrees", "{agreed} of {done} commands agree", tally.done).format(
        agreed=tally.agreed, done=tally.done
    )
    text += f" ({tr('kernel {release}').format(release=release)}; {compared})"
    if tally.skipped:
        text += "; " + ntr("{count} was not carried out", "{count} were not carried out", tally.skipped).format(
            count=tally.skipped
        )
    return text + "."


def as_json(found: Compared) -> dict[str, Any]:
    """One command as an object."""
    row: dict[str, Any] = {"line": found.command.line, "command": found.command.text}
    if found.skipped:
        return row | {"skipped": found.skipped}
    differences = [{"field": one.field, "kernel": one.kernel, "model": one.model} for one in found.differences]
    return row | {"kernel": found.kernel, "model": found.model.to_json(), "differences": differences}
