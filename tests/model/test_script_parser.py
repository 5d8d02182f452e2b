"""Reading scripts: what every verb becomes, and what is said about everything that is wrong."""

import re
from pathlib import Path

import pytest

from model.script.command import BackingSpec, Command, Place, RefPage
from model.script.dispatch import CALLS
from model.script.parser import parse, parse_line
from model.script.scope import Scope
from model.script.verbs import VERBS
from model.text.problems import ScriptError

SCENE = """\
process p0
process p1
memfd f 4
diskfile d 4
dax x 4
device nic
mmap p0 buf anon private rw 4
mmap p1 buf anon private rw 4
gup p0 buf as=r0
bo b 4
export b as=db
begin t read p0 buf
"""

CONTRACT = Path(__file__).parents[2] / "docs" / "script-contract.md"


def last(text: str, scene: str = SCENE) -> Command:
    """The command that the last line of a script becomes."""
    return parse(scene + text)[-1]


def problems(text: str, scene: str = SCENE) -> list[str]:
    """What is said about `text`, which follows the scene; lines are counted from its first one."""
    with pytest.raises(ScriptError) as caught:
        parse(scene + text)
    above = scene.count("\n")
    return [f"{problem.line - above}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def test_every_verb_of_the_contract_is_still_there_with_all_its_words() -> None:
    """Other programs rely on docs/script-contract.md: verbs and options are added, never taken away."""
    table = CONTRACT.read_text(encoding="utf-8").partition("## Verbs")[2].partition("## Backings")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    promised = [usage for line in lines for usage in re.findall(r"`([a-z][^`]*)`", line.split(" | ")[0])]
    assert len(promised) > 40
    for usage in promised:
        verb, *words = re.findall(r"[A-Za-z0-9_-]+", usage.replace("\\|", " "))
        assert verb in VERBS, f"`{usage}` is promised in {CONTRACT.name}"
        known = re.findall(r"[A-Za-z0-9_-]+", VERBS[verb].usage)
        assert verb == "expect" or set(words) <= set(known), f"`{usage}` is promised; it is `{VERBS[verb].usage}` now"


def test_every_verb_is_carried_out_by_a_procedure() -> None:
    kernel = {name for name, verb in VERBS.items() if verb.role == "kernel"}
    assert kernel - CALLS.keys() == set(), (
        "add the verb to CALLS of its subject in model/script/calls: which procedure runs it?"
    )
    assert CALLS.keys() - kernel == set(), "add the verb to the table in model/script/verbs.py: how is it written?"


def test_a_command_carries_its_text_and_where_it_stands() -> None:
    command = parse("\n\tprocess   p0  cpu=1 # the first\n")[0]
    assert (command.text, command.line, command.column) == ("process p0 cpu=1", 2, 2)


@pytest.mark.parametrize(
    ("place", "meaning"),
    [
        ("buf", Place("buf")),
        ("buf+2", Place("buf", 2, 1)),
        ("buf+0x2", Place("buf", 2, 1)),
        ("buf[1:3]", Place("buf", 1, 2)),
        ("@16", Place("", 16, 1)),
        ("@0x10", Place("", 16, 1)),
        ("@[16:20]", Place("", 16, 4)),
    ],
)
def test_places(place: str, meaning: Place) -> None:
    assert last(f"munmap p0 {place}").operands["WHERE"] == meaning


@pytest.mark.parametrize(
    ("line", "operand", "value"),
    [
        ("write p0 buf 0x41", "BYTE", 65),
        ("mprotect p0 buf none", "PROT", 0),
        ("mprotect p0 buf xr", "PROT", 5),
        ("mmap p0 m memfd:f shared rw 4", "BACKING", BackingSpec("memfd", "f")),
        ("mmap p0 m file:d shared rw 4", "BACKING", BackingSpec("file", "d")),
        ("mmap p0 m dax:x shared rw 4", "BACKING", BackingSpec("dax", "x")),
        ("mmap p0 m vvar private r 4", "BACKING", BackingSpec("vvar")),
        ("mmap p0 m bar:nic shared rw 4", "BACKING", BackingSpec("bar", "nic")),
        ("mmap p0 m dmabuf:db shared rw 4", "BACKING", BackingSpec("dmabuf", "db")),
        ("mmap p0 m anon private rw 4 populate at=0x20", "at", 32),
        ("peek r0", "R[+N]", RefPage("r0")),
        ("dma r0+3 write 7", "R[+N]", RefPage("r0", 3)),
        ("dma r0+3 write 7", "BYTE", 7),
        ("dma r0 read", "ACCESS", "read"),
        ("gup p0 buf fast-only as=r1 write", "fast-only", True),
        ("note  as  you # see", "TEXT", "as  you"),
        ("step t", "N", None),
        ("step t 5", "N", 5),
        ("may * write p0 buf 1", "N", -1),
    ],
)
def test_operands(line: str, operand: str, value: object) -> None:
    assert last(line).get(operand) == value


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("vma p0 buf flags=pf,io", {"P": "p0", "WHERE": Place("buf"), "flags": ("pf", "io")}),
        ("violation stale-reference", {"NAME": "stale-reference"}),
        ("refcount r0+1 -3", {"PAGE": RefPage("r0", 1), "N": -3}),
        ("same p0 buf r0", {"PAGE": "p0", "WHERE of PAGE": Place("buf"), "PAGE2": RefPage("r0")}),
        ("differ r0 p0 buf+1", {"PAGE": RefPage("r0"), "PAGE2": "p0", "WHERE of PAGE2": Place("buf", 1, 1)}),
    ],
)
def test_what_an_expectation_asks(condition: str, values: dict[str, object]) -> None:
    (phrase,) = last(f"expect {condition}").phrases
    assert (phrase.form, phrase.values) == (condition.split(maxsplit=1)[0], values)


def test_phrases_are_joined_and_negated() -> None:
    one, two = last("expect not present p0 buf and waits t").phrases
    assert (one.form, one.negated, one.text) == ("present", True, "present p0 buf")
    assert (two.form, two.negated) == ("waits", False)


def test_begin_holds_the_command_with_its_own_columns() -> None:
    inner = last("begin t2 gup p0 buf as=r9 pin").operands["COMMAND"]
    assert isinstance(inner, Command)
    assert (inner.verb, inner.column, inner.text) == ("gup", 10, "gup p0 buf as=r9 pin")
    assert problems("begin t2 gup p0 buff as=r9") == ["1:17: `p0` has no label `buff`; did you mean `buf`?"]


WRONG = [
    # verbs
    ("raed p0 buf", "1:1: unknown command `raed`; did you mean `read`?"),
    ("  frobnicate", "1:3: unknown command `frobnicate`"),
    ("READ p0 buf", "1:1: unknown command `READ`"),
    # operands that are missing, too many, or not what they should be
    ("read p0", "1:8: WHERE is missing: expected a place: `LABEL`, `LABEL+N` or `@N` (`read P WHERE`)"),
    ("read", "1:5: P is missing: expected a process (`read P WHERE`)"),
    ("read p0 buf 7", "1:13: `read` does not expect `7` here (`read P WHERE`)"),
    ("read p0 buf fast", "1:13: `read` does not expect `fast` here (`read P WHERE`)"),
    ("read p0 buf at=7", "1:13: `read` takes no option `at` (`read P WHERE`)"),
    ("note", "1:5: TEXT is missing: expected a text (`note TEXT…`)"),
    ("begin t2", "1:9: COMMAND is missing: expected a command (`begin T [cpu=N] COMMAND…`)"),
    ("dma r0", "1:7: ACCESS is missing: expected one of write, read (`dma R[+N] write BYTE|read`)"),
    ("dma r0 write", "1:13: BYTE is missing: expected a byte (0 to 255) (`dma R[+N] write BYTE|read`)"),
    ("dma r0 wriet 3", "1:8: `wriet` is not one of write, read; did you mean `write`?"),
    # numbers
    ("write p0 buf 256", "1:14: `256` is not a byte (0 to 255)"),
    ("write p0 buf -1", "1:14: `-1` is not a byte (0 to 255)"),
    ("write p0 buf 0x", "1:14: `0x` is not a byte (0 to 255)"),
    ("write p0 buf ²", "1:14: `²` is not a byte (0 to 255)"),
    ("memfd g " + "9" * 5000, f"1:9: `{'9' * 39}…` is not a number of pages (0 to 2^52)"),
    ("process p9 cpu=2", "1:16: there is no CPU `2`: 0 to 1"),
    ("step t 0", "1:8: `0` is not a number of micro-steps (1 to 2^19)"),
    ("may 0 read p0 buf", "1:5: `0` is not a number (1 to 2^19), or `*` for no limit"),
    # names
    ("read p7 buf", "1:6: there is no process `p7`; there is p0, p1"),
    ("put q", "1:5: there is no reference `q`; there is r0"),
    ("peek r0-1", "1:6: there is no reference `r0-1`; did you mean `r0`?"),
    ("peek r0+x", "1:8: `+x` is no page of it: `R` or `R+N`"),
    ("gup p0 buf as=r0", "1:15: there is a reference `r0` already, made in line 9"),
    ("process p0", "1:9: there is a process `p0` already, made in line 1"),
    ("userfaultfd p0 2x event_fork", "1:16: `2x` is no name: a letter, then letters, digits, `_` or `-`, at most 40"),
    ("mmap p0 buf anon private rw 4", "1:9: `p0` has a label `buf` already, made in line 7"),
    ("process 9p", "1:9: `9p` is no name: a letter, then letters, digits, `_` or `-`, at most 40"),
    ("begin main read p0 buf", "1:7: `main` is reserved: plain commands run under that name"),
    ("mmap p0 m memfd:d shared rw 4", "1:17: `d` was made by `diskfile`; expected one made by `memfd`"),
    ("mmap p0 m memfd:g shared rw 4", "1:17: there is no file `g`; there is f"),
    ("mmap p0 m memfd shared rw 4", "1:11: expected `memfd:F`, where F is a memfd"),
    ("mmap p0 m anon:f shared rw 4", "1:15: `anon` takes nothing after it"),
    # places
    ("read p0 buff", "1:9: `p0` has no label `buff`; did you mean `buf`?"),
    ("read p0 buf[0:2]", "1:12: one page is expected here, not a range: a place: `LABEL`, `LABEL+N` or `@N`"),
    ("munmap p0 buf[2:2]", "1:14: `[2:2]` has no page in it: `[A:B]` are the pages A … B-1"),
    ("read p0 @0x1000000000", "1:10: virtual page numbers end at 0xfffffffff"),
    # options
    ("gup p0 buf", "1:11: `as=R` is missing"),
    ("gup p0 buf as=", "1:12: expected `as=R`: a name for the new reference"),
    ("gup p0 buf as=r1 as=r2", "1:18: `as` is given twice"),
    ("gup p0 buf as=r1 fast slow", "1:23: `slow` and `fast` exclude each other"),
    ("gup p0 buf as=r1 pinn", "1:18: `gup` does not expect `pinn` here; did you mean `pin`?"),
    ("gup p0 buf as=r1 pin=1", "1:18: `pin` takes no value"),
    ("mmap p0 m anon private rw populate", "1:27: PAGES is missing"),
    # the rest
    ("set kernel 6.1", "1:1: `set` comes too late: an earlier command has touched memory"),
    ("begin t2 note hello", "1:10: `note` cannot be started by `begin`: it is no kernel operation"),
    ("may 1 begin t2 read p0 buf", "1:7: `begin` cannot be started by `may`: it is no kernel operation"),
    ("expect error EFALT", "1:14: `EFALT` is not an error, such as EFAULT; did you mean `EFAULT`?"),
    ("expect signal SIGFPE", "1:15: `SIGFPE` is not one of SIGSEGV, SIGBUS"),
    (
        "expect violation stale-referense",
        "1:18: `stale-referense` is not an invariant; did you mean `stale-reference`?",
    ),
    ("expect vma p0 buf flags=pf,i0", "1:28: `i0` is not a code of VmFlags in smaps, such as `pf`"),
    ("madvise p0 buf dontned", "1:16: `dontned` is not one of"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line[:40] for line, _ in WRONG])
def test_what_is_wrong_is_said_with_its_place(line: str, message: str) -> None:
    (found,) = problems(line)
    assert found.startswith(message)


def test_all_problems_are_reported_in_order_and_none_twice() -> None:
    text = "raed p0 buf\nwrite p7 buf 300\nread p0 buf\nmay 1 put r7\nfork p0\n"
    assert [line.split(":")[:2] for line in problems(text)] == [
        ["1", "1"],
        ["2", "7"],
        ["2", "14"],
        ["4", "11"],
        ["5", "8"],
    ]


def test_a_wrong_command_still_introduces_its_name() -> None:
    """Otherwise each slip would drag a tail of complaints about lines that are right."""
    assert len(problems("mmap p0 m anon private rwz 4\nread p0 m\n")) == 1


def test_settings_are_checked_and_the_number_of_cpus_counts() -> None:
    assert [
        command.verb for command in parse("set cpus 4\nset kernel 6.1\ndevice d\nset pte-special off\nprocess p cpu=3")
    ]
    (value,) = problems("set kernel 6.2", scene="")
    assert value.startswith("1:12: `6.2` is no value of `kernel`: 6.18, 6.1, 6.12, 7.3; did you mean")
    (key,) = problems("set kernl 6.1", scene="")
    assert key.startswith("1:5: `kernl` is not one of")
    assert problems("process p cpu=2", scene="") == ["1:15: there is no CPU `2`: 0 to 1"]


def test_expecting_an_answer_needs_a_question() -> None:
    assert problems("expect ok", scene="") == ["1:8: there is no command before this whose result could be expected"]


def test_labels_belong_to_a_process_and_fork_copies_them() -> None:
    assert parse(SCENE + "fork p0 c\nread c buf\nmmap c buf2 anon private rw 1\nread c buf2")
    assert problems("fork p0 c\nmmap c own anon private rw 1\nread p0 own") == [
        "3:9: `p0` has no label `own`; it has buf"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "put r0\ngup p0 buf as=r0",
        "munmap p0 buf\nmmap p0 buf anon private rw 2",
        "exit p0\nprocess p0",
        "finish t\nbegin t read p0 buf",
        "destroy b\nbo b 2",
    ],
)
def test_a_name_that_was_given_up_can_be_taken_again(text: str) -> None:
    assert parse(SCENE + text)


def test_names_stay_usable_after_they_were_given_up() -> None:
    """Using something too late is what many scripts are about; the kernel answers."""
    assert parse(SCENE + "put r0\npeek r0\nmunmap p0 buf\nread p0 buf\nexit p1\nread p1 buf")


def test_may_can_name_what_only_another_may_creates() -> None:
    commands = parse(
        SCENE + "may 2 gup p0 buf as=later\nmay * dma later write 5\nmay 1 fork p0 kid\nmay 1 read kid buf"
    )
    assert [command.verb for command in commands[-4:]] == ["may"] * 4
    assert problems("may 1 put never\nmay 1 gup p0 buf as=later") == [
        "1:11: there is no reference `never`; there is later, r0"
    ]
    assert problems("may 1 gup p0 buf as=later\nput later") == ["2:5: there is no reference `later`; there is r0"]


def test_only_a_newline_ends_a_line() -> None:
    commands = parse("\ufeffprocess p0\r\nnote a\r\nprocess p1")
    assert [(command.verb, command.line) for command in commands] == [("process", 1), ("note", 2), ("process", 3)]
    first, second = problems("process p0\r\nnote a\u2028bc\r\nnothing p1", scene="")
    assert first == "2:7: the control character U+2028: a script has printable text only"
    assert second.startswith("3:1: ")


@pytest.mark.parametrize("text", ["\n" * 200_000, "#" * 5_000_000])
def test_an_absurdly_long_script_is_refused_at_once(text: str) -> None:
    assert problems(text, scene="")[0].startswith("1:1: a script has at most")


def test_an_absurdly_long_line_is_refused() -> None:
    assert problems("read p0 " + "x" * 20_000, scene="")[0].startswith("1:1: the line is longer than")


def test_a_prompt_parses_one_line_and_learns_its_names() -> None:
    scope = Scope()
    assert parse_line("   # nothing", scope) is None
    assert parse_line("process p0", scope) is not None
    with pytest.raises(ScriptError):
        parse_line("mmap p0 buf anon private rw 4 sized=3", scope)
    assert "buf" not in scope.labels["p0"]
    assert parse_line("mmap p0 buf anon private rw 4", scope) is not None
    command = parse_line("read p0 buf+1", scope)
    assert command is not None
    assert command.operands == {"P": "p0", "WHERE": Place("buf", 1, 1)}


@pytest.mark.parametrize(
    ("line", "column", "name"),
    [
        ("note \x1b]0;title\x07", 6, "U+001B"),
        ("process p0 # \x9b31m", 14, "U+009B"),
        ("note \u202eabc", 6, "U+202E"),
        ("# \x1b[2J", 3, "U+001B"),
    ],
)
def test_no_control_character_gets_through_a_script_to_the_terminal(line: str, column: int, name: str) -> None:
    with pytest.raises(ScriptError, match=rf"2:{column}: the control character {re.escape(name)}"):
        parse(f"process p9\n{line}\n")


def test_a_tab_is_a_blank() -> None:
    assert parse("process\tp0")[0].operands["P"] == "p0"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bo u 1 exporter=udmabuf", "`exporter=udmabuf` needs `memfd=F`: a memfd"),
        ("bo u 1 memfd=f", "`memfd=F` is for drivers with `backing borrow:memfd` only, such as `exporter=udmabuf`"),
        ("bo u 1 exporter=udmabuf memfd=d", "`d` was made by `diskfile`; expected one made by `memfd`"),
    ],
)
def test_a_udmabuf_and_the_memfd_that_it_is_made_of_go_together(line: str, said: str) -> None:
    (problem,) = problems(line, "memfd f 1\ndiskfile d 1\n")
    assert problem.endswith(said)


def test_a_word_that_is_like_no_known_one_is_answered_with_all_of_them() -> None:
    with pytest.raises(ScriptError) as caught:
        parse("process p0\nexpect broken use-after-free\n")
    assert "`use-after-free` is not an invariant: expected one of clean-page-written, " in str(caught.value)
