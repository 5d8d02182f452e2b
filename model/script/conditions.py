"""The condition language: what can be asked of a machine, and how each question is answered.

`expect` in a script, watched expressions, goals, predictions and numbers in the text of lessons, exercises: all of
them read this one table and answer by it. A condition is one or more phrases joined with `and`; `not` before a phrase
negates it. A quantity is a number; followed by the number that it should be it is a phrase as well.

Where a question could be read in two ways, this is what it means everywhere:

* `ok`, `error`, `signal`, `blocked`, `value`, `violation` and `no violation` are about the last command: `violation
  NAME` holds if that command broke the rule. What is broken now, whoever broke it, is `broken`.
* `same` and `differ` compare two pages that are there. Where one is missing neither holds; `not same` does.
* A bare label means its first page. `present` wants every page of a range, `absent` wants none of them.
* `refcount`, `writable`, `exclusive` and their like do not hold where no page is mapped.
* A process that does not exist, or a label or reference, has no answer, negated or not: `expect` fails, a goal is not
  reached, a watched expression says what is missing. Only `held`, `waits` and `holds` ask whether something is there.
* A process that is exiting can be asked about as long as its tables stand.

A phrase is read once (`model.script.parser`) and answered often; answers read the State by its tables alone.
"""

from typing import Final, Literal, get_args

import msgspec

from model.memory.buffer_records import Place as Placement
from model.memory.errno import ERRNO_NAMES
from model.memory.flags import SMAPS_CODES
from model.script import answers
from model.script.answers import BITS, LEVELS, Found, Holds, Measure
from model.script.command import Condition, Phrase
from model.script.moment import Moment, NoAnswerError, NoValueError, frame_behind
from model.script.operands import Branch, Choice, Name, Number, OneOf, Operand, Option, Reading, Several, Signature
from model.script.page_operands import PageOf, Where
from model.script.pages import Missing
from model.text.words import Word

About = Literal["command", "machine"]
"""What a question is about: the last command, or the machine as it stands."""


class ConditionForm(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the language. A quantity has `measure` as well: as a condition it is compared with a number."""

    name: str
    help: str
    """What it says, in one line."""
    form: Signature
    about: About
    holds: Holds
    found: Found
    """What there is instead, where it does not hold."""
    measure: Measure | None = None

    @property
    def usage(self) -> str:
        """Its syntax in one line."""
        operands = [f"[{one.name}]" if one.optional else one.name for one in self.form.operands]
        options = [f"[{one.key}={one.value.name}]" for one in self.form.options if one.value is not None]
        return " ".join((self.name, *operands, *options))

    @property
    def quantity(self) -> Signature:
        """A quantity's operands without the number that it is compared with."""
        return Signature(self.form.operands[:-1], self.form.options)


class Asked(Branch, frozen=True):
    """A whole condition, to the end of the line. Its words are those of one phrase; the parser knows `and`."""

    @property
    def expected(self) -> str:
        """What may stand there, in words."""
        return "a condition"


class SignedNumber(Number, frozen=True):
    """A number that may be negative, as a count that has underflowed."""

    def read(self, word: Word, reading: Reading) -> int:
        """The number. Raises OperandError."""
        if word.text.startswith("-"):
            return -super().read(word.part(1), reading)
        return super().read(word, reading)


# -- operands ------------------------------------------------------------------------------------

_P: Final = Name(name="P", kind="process")
_ONE: Final = Where(name="WHERE")
_RANGE: Final = Where(name="WHERE", many=True)
_PAGE: Final = PageOf(name="PAGE")
_OTHER: Final = PageOf(name="PAGE2")
_CPU: Final = Number(name="CPU", high=7, what="a CPU")
_B: Final = Name(name="B", kind="buffer")
_F: Final = Name(name="F", kind="file", made_by=("memfd",))
_SEAL: Final = Choice(name="SEAL", choices=("seal", "shrink", "grow", "write", "future_write"))
_R: Final = Name(name="R", kind="reference", may_be_gone=True)
_T: Final = Name(name="T", kind="task", may_be_gone=True)
_PLACE: Final = Choice(name="PLACE", choices=get_args(Placement))
_LEVEL: Final = Choice(name="LEVEL", choices=tuple(LEVELS))
_N: Final = SignedNumber(name="N", high=1 << 64, what="the number to compare it with")


def _invariants() -> list[str]:
    """The names of all invariants; their module brings half the kernel along, so it is loaded when one is named."""
    from model.invariants.registry import INVARIANTS  # noqa: PLC0415

    return list(INVARIANTS)


_RULE: Final = OneOf(name="NAME", what="an invariant", known=_invariants)
_ANY_RULE: Final = OneOf(name="NAME", what="an invariant", known=_invariants, optional=True)
_WORD_VIOLATION: Final = Choice(name="violation", choices=("violation",))
_ERRNO: Final = OneOf(name="ERRNO", what="an error, such as EFAULT", known=ERRNO_NAMES.values, optional=True)
_SIGNAL: Final = Choice(name="SIGNAL", choices=("SIGSEGV", "SIGBUS"), optional=True)
_CODES: Final = Several(
    name="CODE,…", what="a code of VmFlags in smaps, such as `pf`", known=lambda: [code for _, code in SMAPS_CODES]
)

# -- the table -------------------------------------------------------------------------------------


def _asks(
    about: About, name: str, text: str, *form: Operand | Option, holds: Holds, found: Found | str
) -> ConditionForm:
    """A line of the table: a question that is answered with yes or no. `found`: a text with {T}, {R} … will do."""
    told: Found = found if callable(found) else lambda _, phrase: found.format_map(phrase.values)
    operands = tuple(part for part in form if isinstance(part, Operand))
    options = tuple(part for part in form if isinstance(part, Option))
    return ConditionForm(name=name, help=text, form=Signature(operands, options), about=about, holds=holds, found=told)


def _measures(about: About, name: str, text: str, *operands: Operand, measure: Measure) -> ConditionForm:
    """A line of the table: a number."""

    def holds(moment: Moment, phrase: Phrase) -> bool:
        try:
            return measure(moment, phrase) == phrase.values["N"]
        except NoValueError:
            return False

    def found(moment: Moment, phrase: Phrase) -> str:
        try:
            number = measure(moment, phrase)
        except NoValueError as error:
            return str(error)
        of_frame = _PAGE in operands and name != "frame"
        return f"{name} {number} of frame {frame_behind(moment, phrase)}" if of_frame else f"{name} {number}"

    return ConditionForm(
        name=name,
        help=text,
        form=Signature((*operands, _N)),
        about=about,
        holds=holds,
        found=answers.last_answer if about == "command" else found,
        measure=measure,
    )


_ABOUT_COMMAND: Final = (
    _asks("command", "ok", "it succeeded", holds=answers.ended, found=answers.last_answer),
    _asks(
        *("command", "error", "the kernel refused it: with this error, or with any", _ERRNO),
        holds=answers.ended,
        found=answers.last_answer,
    ),
    _asks(
        *("command", "signal", "it ended with this signal, or with any", _SIGNAL),
        holds=answers.ended,
        found=answers.last_answer,
    ),
    _measures("command", "value", "what it returned", measure=answers.returned_value),
    _asks("command", "blocked", "its task has to wait", holds=answers.ended, found=answers.last_answer),
    _asks(
        *("command", "violation", "it broke this rule", _RULE),
        holds=answers.broke_rule,
        found=answers.rules_broken_by_last,
    ),
    _asks(
        *("command", "no", "it broke no rule", _WORD_VIOLATION),
        holds=lambda moment, _: not moment.violations,
        found=answers.rules_broken_by_last,
    ),
)

_YES_OR_NO: Final = (
    _asks(
        *("machine", "broken", "this rule is broken now, or any is, whoever broke it", _ANY_RULE),
        holds=answers.is_broken,
        found=answers.rules_broken_now,
    ),
    _asks(
        *("machine", "present", "every page has a present entry", _P, _RANGE),
        holds=lambda moment, phrase: answers.first_absent(moment, phrase) is None,
        found=answers.absent_page,
    ),
    _asks(
        *("machine", "absent", "no page has a present entry", _P, _RANGE),
        holds=lambda moment, phrase: answers.first_present(moment, phrase) is None,
        found=answers.present_pages,
    ),
    *(
        _asks(
            *("machine", bit, f"its entry is present and {bit}", _P, _ONE),
            holds=answers.has_bit,
            found=answers.bits_there,
        )
        for bit in BITS
    ),
    _asks(
        *("machine", "uffd-wp", "userfaultfd has write-protected the page, whether or not it is mapped", _P, _ONE),
        holds=answers.is_uffd_wp,
        found="no write-protection of userfaultfd",
    ),
    _asks(
        *("machine", "cached", "the TLB of that CPU holds a translation of the page", _CPU, _P, _ONE),
        holds=answers.is_cached,
        found="no translation of it in the TLB of CPU {CPU}",
    ),
    _asks(
        *("machine", "vma", "a VMA covers the page, with at least these VmFlags", _P, _ONE, Option("flags", _CODES)),
        holds=answers.is_covered,
        found=answers.vm_flags_there,
    ),
    _asks(
        *("machine", "same", "both are the same physical page", _PAGE, _OTHER),
        holds=answers.is_same,
        found=answers.both_frames,
    ),
    _asks(
        *("machine", "differ", "they are two physical pages", _PAGE, _OTHER),
        holds=answers.do_differ,
        found=answers.both_frames,
    ),
    _asks(
        *("machine", "exclusive", "the anonymous page is one process's alone (PageAnonExclusive)", _PAGE),
        holds=answers.is_exclusive,
        found=answers.not_exclusive,
    ),
    _asks(
        *("machine", "ksm", "it is a KSM page: one for all of the same content, write-protected", _PAGE),
        holds=answers.is_ksm_page,
        found=answers.not_ksm_page,
    ),
    _asks(
        *("machine", "place", "where the backing store of the buffer is", _B, _PLACE),
        holds=lambda moment, phrase: answers.placement(moment, phrase) == phrase.values["PLACE"],
        found=lambda moment, phrase: f"place {answers.placement(moment, phrase)}",
    ),
    _asks(
        *("machine", "sealed", "the memfd has this seal", _F, _SEAL),
        holds=lambda moment, phrase: str(phrase.values["SEAL"]) in answers.seals(moment, phrase),
        found=lambda moment, phrase: f"seals {' '.join(answers.seals(moment, phrase)) or 'none'}",
    ),
    _asks("machine", "held", "there is such a reference", _R, holds=answers.is_held, found="no reference {R}"),
    _asks(
        *("machine", "waits", "the task was to go on and could not", _T),
        holds=answers.does_wait,
        found="no waiting task {T}",
    ),
    _asks(
        *("machine", "holds", "the task, in flight, has a reference on the page that nobody else knows of", _T, _PAGE),
        holds=answers.does_hold,
        found="no such page in the hands of {T}",
    ),
)

_NUMBERS: Final = (
    _measures("machine", "refcount", "what page_count() says of the page", _PAGE, measure=answers.refcount),
    _measures("machine", "mapcount", "what page_mapcount() says of it", _PAGE, measure=answers.mapcount),
    _measures(
        *("machine", "order", "its folio has 2^order pages, which share one refcount; 0: a small page", _PAGE),
        measure=answers.order,
    ),
    _measures(
        *("machine", "folio-mapcount", "the entries that map a page of its folio, or all of it", _PAGE),
        measure=answers.folio_mapcount,
    ),
    _measures(
        *("machine", "entire-mapcount", "the entries that map its folio as a whole, 2 MiB at once", _PAGE),
        measure=answers.entire_mapcount,
    ),
    _measures("machine", "pincount", "the pins in its refcount", _PAGE, measure=answers.pincount),
    _measures("machine", "content", "the byte that it holds", _PAGE, measure=answers.content_of),
    _measures("machine", "frame", "the number of its frame", _PAGE, measure=answers.frame_number),
    _measures("machine", "page-number", "the virtual page number", _P, _ONE, measure=answers.page_number),
    _measures("machine", "address", "the virtual address, in bytes", _P, _ONE, measure=answers.address),
    _measures(
        *("machine", "index", "which of the 512 entries of the table at that level the walk looks at"),
        *(_LEVEL, _P, _ONE),
        measure=answers.table_index,
    ),
    _measures("machine", "vmas", "the VMAs of the address space (map_count)", _P, measure=answers.map_count),
    _measures(
        *("machine", "rss", "the pages that it maps and accounts for, in PTEs that are not special", _P),
        measure=answers.resident_pages,
    ),
    _measures(
        *("machine", "table-pages", "its page-table pages, the PGD included", _P), measure=answers.page_table_pages
    ),
    _measures(
        *("machine", "free-huge-pages", "the free pages of hugetlb's pool (HugePages_Free)"),
        measure=answers.huge_pages_free,
    ),
    _measures(
        *("machine", "resv-huge-pages", "how many of them are reserved (HugePages_Rsvd)"),
        measure=answers.huge_pages_reserved,
    ),
)

CONDITIONS: Final[dict[str, ConditionForm]] = {form.name: form for form in (*_ABOUT_COMMAND, *_YES_OR_NO, *_NUMBERS)}
"""Every form, those about the last command first."""

QUANTITIES: Final = tuple(name for name, form in CONDITIONS.items() if form.measure is not None)

NOT: Final = "not"
AND: Final = "and"
_FORMS: Final = {name: form.form for name, form in CONDITIONS.items()}
_PHRASE: Final = Branch.of("PHRASE", _FORMS)
CONDITION: Final = Asked(
    name="CONDITION",
    choices=(*_FORMS, NOT),
    forms=_FORMS | {NOT: Signature((_PHRASE,))},
)
"""The operand of `expect` and of every other place where a condition stands."""


# -- answers ---------------------------------------------------------------------------------------


def holds(condition: Condition, moment: Moment) -> bool:
    """Whether every phrase holds. Raises NoAnswerError where one speaks of something that does not exist."""
    return all(_holds_phrase(phrase, moment) for phrase in condition.phrases)


def _holds_phrase(phrase: Phrase, moment: Moment) -> bool:
    phrase = _as_read(phrase, moment)
    try:
        return CONDITIONS[phrase.form].holds(moment, phrase) is not phrase.negated
    except Missing as missing:
        raise NoAnswerError.without(missing) from None


def found_instead(condition: Condition, moment: Moment) -> str:
    """Empty if the condition holds; otherwise what there is instead of the first phrase that does not."""
    for phrase in condition.phrases:
        try:
            if not _holds_phrase(phrase, moment):
                phrase = _as_read(phrase, moment)  # noqa: PLW2901 -- the reading that was judged
                return phrase.text if phrase.negated else CONDITIONS[phrase.form].found(moment, phrase)
        except NoAnswerError as missing:
            return str(missing)
    return ""


def measure(quantity: Phrase, moment: Moment) -> int:
    """The number that a quantity is. Raises NoAnswerError, NoValueError if there is none now."""
    form = CONDITIONS[quantity.form]
    assert form.measure is not None, "the parser lets only quantities through"
    try:
        return form.measure(moment, quantity)
    except Missing as missing:
        raise NoAnswerError.without(missing) from None


def _as_read(phrase: Phrase, moment: Moment) -> Phrase:
    """The reading of a phrase that fits this machine."""
    if phrase.otherwise is None or str(phrase.values["PAGE"]) in moment.state.processes:
        return phrase
    return phrase.otherwise
