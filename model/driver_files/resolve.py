"""A driver as it is on one kernel: without the lines of other versions, with what `like` takes over, and defaults."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from model.driver_files import library
from model.driver_files.check_names import wrong_names
from model.driver_files.line_forms import SIGNALS, VMA_FLAGS
from model.driver_files.parser import parse
from model.driver_files.records import DriverLine, DriverText, KernelDriver, StepList
from model.driver_files.versions import counts_on, on_some_kernel
from model.driver_files.writing import described
from model.engine.config import KERNELS
from model.memory.flags import VM_DONTCOPY
from model.text.problems import ScriptError, ScriptProblem, did_you_mean

MOST_LIKES: Final = 4
"""How many drivers may take over from each other in a row."""
NO_LINE: Final = DriverLine("", {})
EVERYTHING: Final = 1 << 40
"""No mapping is longer."""


@lru_cache(maxsize=256)
def resolve(text: str, kernel: str, undone: str = "") -> KernelDriver:
    """The driver that a text describes, on a kernel; `undone`: the value of `set as-it-was`. Raises ScriptError."""
    return _on(whole(text), KernelAt(kernel, frozenset(undone.split(","))))


class KernelAt(msgspec.Struct, frozen=True):
    """The machine on which a line must count."""

    kernel: str
    undone: frozenset[str]
    """The mends that are undone."""

    def has(self, line: DriverLine) -> bool:
        """Whether a line counts here."""
        if line.as_it_was and line.as_it_was not in self.undone:
            return False
        return line.mended not in self.undone - {""} and counts_on(line, self.kernel)


@lru_cache(maxsize=256)
def whole(text: str) -> DriverText:
    """A driver with all that `like` takes over. Raises ScriptError: also where a step names what is not there."""
    driver = _with_base(_parsed(text), 0)
    if problems := tuple(dict.fromkeys(_locks_beside_trylock(driver))):
        raise ScriptError(problems)
    return driver


def _locks_beside_trylock(driver: DriverText) -> Iterator[ScriptProblem]:
    """A ->fault that gives mmap_lock up to wait for a lock has no other: it would begin anew with that one held."""
    for kernel in KERNELS:
        here = KernelAt(kernel, frozenset())
        taken = [one for one in driver.fields if one.word == "lock" and one.word_at("HOW") != "ops" and here.has(one)]
        if len(taken) > 1:
            for line in (one for one in taken if one.word_at("HOW") == "trylock-retry"):
                why = "`trylock-retry` is for the only lock that ->fault takes"
                yield ScriptProblem(line.line, line.column, why)


def _with_base(driver: DriverText, depth: int) -> DriverText:
    if not driver.likes:
        return driver
    said = {line.word for line in driver.fields}
    named = {one.name for one in driver.lists}
    fields: list[DriverLine] = []
    lists: list[StepList] = []
    for like in driver.likes:
        base = _base(like, depth)
        fields += [_clipped(line, like) for line in base.fields if line.word not in said]
        lists += [
            StepList(_clipped(one.head, like), tuple(_from(step, like) for step in one.steps))
            for one in base.lists
            if one.name not in named
        ]
    fields = [line for line in (*fields, *driver.fields) if on_some_kernel(line)]
    lists = [one for one in (*lists, *driver.lists) if on_some_kernel(one.head)]
    problems = list(wrong_names(tuple(lists), {line.word_at("LOCK") for line in fields if line.word == "lock"}))
    if problems:
        raise ScriptError(problems)
    return DriverText(driver.name, driver.likes, tuple(fields), tuple(lists))


def _base(like: DriverLine, depth: int) -> DriverText:
    """The driver that another takes over from."""
    name = like.word_at("NAME")
    if name not in library.bundled():
        hint = did_you_mean(name, library.bundled()) or f": {', '.join(library.bundled())}"
        raise ScriptError(
            [ScriptProblem(like.line, like.column, f"`like {name}`: no bundled driver is called that{hint}")]
        )
    if depth == MOST_LIKES:
        chain = f"`like {name}`: more than {MOST_LIKES} drivers in a row"
        raise ScriptError([ScriptProblem(like.line, like.column, chain)])
    return _with_base(_parsed(library.text_of(name)), depth + 1)


@lru_cache(maxsize=256)
def _parsed(text: str) -> DriverText:
    """What a text says itself, read once: many drivers take over from the same few. Raises ScriptError."""
    return parse(text)


def _clipped(line: DriverLine, like: DriverLine) -> DriverLine:
    """A line that is taken over: it counts where it counts there, and where the taking over does."""
    since = max((one for one in (line.since, like.since) if one), key=KERNELS.index, default="")
    until = min((one for one in (line.until, like.until) if one), key=KERNELS.index, default="")
    return msgspec.structs.replace(_from(line, like), since=since, until=until)


def _from(line: DriverLine, like: DriverLine) -> DriverLine:
    """A line of another driver: whoever complains about it points at the `like`."""
    origin = line.origin or f"{like.word_at('NAME')}:{line.line}"
    joined = tuple(_from(part, like) for part in line.joined)
    return msgspec.structs.replace(line, line=like.line, column=like.column, joined=joined, origin=origin)


def _on(driver: DriverText, here: KernelAt) -> KernelDriver:
    lines = sorted(filter(here.has, driver.fields), key=lambda line: bool(line.as_it_was))
    by_word = {line.word: line for line in lines}

    def one(word: str) -> DriverLine:
        return by_word.get(word, NO_LINE)

    mapping, backing = one("map"), one("backing")
    lists = tuple(_lists(driver.lists, here))
    flags = sum(VMA_FLAGS[word] for word in dict.fromkeys(one("vma").words_at("FLAGS")))
    if one("copy-on-fork").word_at("WHETHER") == "no":
        flags |= VM_DONTCOPY
    return KernelDriver(
        name=driver.name,
        about=driver.about,
        sources=tuple(line.word_at("TEXT") for line in lines if line.word == "source"),
        vma_flags=flags,
        at=mapping.word_at("at", "fault"),
        insert=mapping.word_at("insert", "pfn"),
        reach=mapping.word_at("range", "one"),
        gets_pages=mapping.has("gets-pages"),
        bounds=not mapping.has("no-bounds"),
        map_line=mapping,
        lock_line=next((line for line in lines if line.word == "lock" and line.word_at("HOW") != "ops"), NO_LINE),
        private_pages=_private(one("private")),
        shared_only=one("private").word_at("WHETHER") == "shared-only",
        unwritable=one("writable").word_at("ERRNO", "EPERM") if one("writable").word_at("WHETHER") == "refuse" else "",
        keeps_maywrite=one("writable").has("keeps-maywrite"),
        locks=tuple((line.word_at("LOCK"), line.word_at("HOW")) for line in lines if line.word == "lock"),
        mmap_locks=tuple(line.word_at("LOCK") for line in lines if line.word == "lock" and line.has("mmap")),
        fails_when=tuple(
            (line.word_at("STATE"), SIGNALS[line.word_at("SIGNAL")]) for line in lines if line.word == "fail-when"
        ),
        backing=backing.word_at("KIND", "pages"),
        require=backing.words_at("require"),
        forbid=backing.words_at("forbid"),
        counts=one("counts").word_at("WHO", "none"),
        opens=one("open").word_at("WHAT", "none"),
        closes=one("close").word_at("WHAT", "none"),
        mkwrite=one("mkwrite").word_at("WHAT"),
        notes=one("mkwrite").word_at("STATE"),
        access=one("access").word_at("WHAT", "none"),
        may_split=one("split").word_at("WHETHER", "allow") == "allow",
        pin_place=one("pin").word_at("PLACE"),
        pin_function=one("pin").word_at("NAME"),
        pins_every=one("pin").has("every"),
        unexported=one("export").word_at("ERRNO", "ENOTTY") if one("export").word_at("WHETHER") == "refuse" else "",
        ops=tuple(one for one in lists if one.head.word == "op"),
        functions=tuple(one for one in lists if one.head.word == "function"),
    )


def _private(line: DriverLine) -> int:
    allowed = line.word_at("WHETHER", "refuse") == "allow"
    return line.number_at("most", EVERYTHING) if allowed else 0


def _lists(lists: Iterable[StepList], here: KernelAt) -> Iterator[StepList]:
    for one in lists:
        if here.has(one.head):
            yield StepList(one.head, tuple(filter(here.has, one.steps)))


def code_of(one: StepList) -> str:
    """The steps of a list as one text: what a running operation carries with it."""
    return "\n".join(described(step) for step in one.steps)
