"""Numbers of schedules, steps and pre-emptions in words."""

from lessons.i18n.language import ntr, tr
from model.search.ends import HeldLock
from model.search.report import Finding


def who_holds(lock: HeldLock) -> str:
    """The tasks that hold a lock.

    >>> who_holds(HeldLock("mmap_lock of p0", "", ("gup", "read")))
    'gup (to read), read (to read)'
    """
    return lock.writer or ", ".join(tr("{task} (to read)").format(task=task) for task in lock.readers)


def label(text: str) -> str:
    """What a line is about, as wide as the widest in English."""
    return f"{text:12} "


def preempted(steps: int, preemptions: int) -> str:
    """How many steps and pre-emptions a path has.

    >>> preempted(21, 1), preempted(1, 0)
    ('21 steps with 1 pre-emption', '1 step with no pre-emption')
    """
    many = preemptions_of(preemptions)
    moves = ntr("{n} step", "{n} steps", steps).format(n=steps)
    return tr("{steps} with {preemptions}").format(
        steps=moves, preemptions=many if preemptions else tr("no pre-emption")
    )


def preemptions_of(count: int) -> str:
    """A number of pre-emptions."""
    return ntr("{n} pre-emption", "{n} pre-emptions", count).format(n=count)


def random_schedules(count: int) -> str:
    """A number of schedules that were tried at random."""
    return ntr("{n} random schedule", "{n} random schedules", count).format(n=count)


def number_of(count: int) -> str:
    """A number that may be too long to read.

    >>> number_of(1234567), number_of(3 * 10**34)
    ('1234567', 'about 3.0e+34')
    """
    return str(count) if count < 10**9 else tr("about {number}").format(number=f"{count:.1e}")


def in_part(count: int, total: int) -> str:
    """In how many of all schedules.

    >>> in_part(8, 8), in_part(3, 8), in_part(1, 10**9)
    ('in all schedules', 'in 37.5%', 'in less than 0.1%')
    """
    if count == total:
        return tr("in all schedules")
    share = f"{min(count / total, 0.999):.1%}" if count * 1000 >= total else tr("less than 0.1%")
    return tr("in {share}").format(share=share)


def share_of(finding: Finding) -> str:
    """In how many schedules, where that was counted."""
    if finding.share is None or finding.verdict == "always":
        return ""
    share = f"{min(finding.share, 0.999):.1%}" if finding.share >= 0.001 else tr("less than 0.1%")
    return f" ({tr('in {share} of the schedules').format(share=share)})"
