"""Exercises: made from a number, one right answer by the model, the others wrong by it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons.drills.book import KINDS, LARGEST_SEED, choose, exercise
from lessons.drills.entries import said
from lessons.drills.exercise import Exercise, machine, perform
from lessons.drills.hints import hints
from lessons.drills.score import Score
from model.memory.flags import VM_IO, VM_PFNMAP, VM_READ, VM_WRITE
from model.memory.state import State
from model.script.parser import parse
from model.search.problem import set_up
from tests.model.naive_search import search
from tui.views.holders import holders
from tui.views.physical import physical
from tui.views.shown_state import ShownState
from tui.views.spaces import spaces

CORRUPTS = (0, 2, 3, 5)
"""Numbers of exercises that are judged by a search of every state: among them each answer, and none of the largest."""


def played(made: Exercise) -> tuple[State, State, str]:
    """The machine before and after the account, and the last answer."""
    runner = machine(made.scene)
    before = runner.context.state
    answer = ""
    for line in made.account:
        answer = str(perform(runner, line).outcome.errno)
    return before, runner.context.state, answer


def panes(state: State) -> str:
    """The machine as the learner sees it."""
    scene = ShownState(state)
    return "\n".join(row.text for show in (spaces, physical, holders) for row in show(scene, 100))


BEYOND = ("folio", "hugetlb", "tables", "userfaultfd", "ksm", "swap")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"corrupts", *BEYOND}])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, LARGEST_SEED))
def test_exactly_the_right_answer_is_what_the_model_does(kind: str, seed: int) -> None:
    made = exercise(kind, seed)
    assert made == exercise(kind, seed), "a number gives the same exercise to everybody"
    texts = [answer.text for answer in made.answers]
    assert len(set(texts)) == len(texts) >= 3
    assert all(answer.reply for answer in made.answers)
    before, after, errno = played(made)
    truth = texts[made.right]
    match kind:
        case "refcount" | "mapcount":
            pfn = int(made.ask.split("Frame f")[1].split()[0])
            frame = after.frames.get(pfn)
            assert truth == str(getattr(frame, kind) if frame else 0)
        case "pte":
            place = before.labels["p0", "buf"]
            page = int(made.ask.split("p0 buf+")[-1].split("`")[0])
            assert " ".join(word for word in truth.split() if word.strip("-")) == said(
                after.ptes.get(("p0", place.start + page))
            )
            present = [text for text in texts if text.startswith("present")]
            assert len({len(text) for text in present}) <= 1, "bits stand one below the other"
            verb, how = made.account[0].split()[0], made.answers[made.right].reply
            for answer in made.answers:
                assert answer.reply.endswith(how)
                if answer.text != truth and answer.reply.startswith("That is what"):
                    assert verb not in answer.reply.partition(". ")[0].split()
            key = ("p0", place.start + page)
            noted = perform(machine(made.scene), made.account[0]).steps
            if "is written by" in how:
                assert how.split("`")[1] in {f"{note.procedure}.{note.step}" for note in noted}
            else:
                assert before.ptes.get(key) == after.ptes.get(key)
        case "walk":
            level = ("PTE", "PMD", "PUD", "PGD").index(made.ask.split(" table does")[0].split()[-1])
            vpn = next(vpn for _, vpn in after.ptes)
            assert int(truth) == (vpn >> 9 * level) % 512
        case "errno":
            assert truth == (("0 pages" if "fast-only" in made.account[0] else errno) if errno else "it gets the page")
        case "which-op":
            assert truth == made.account[0]
            shown = [panes(before), panes(after)]
            for other in set(texts) - {truth}:
                runner = machine(made.scene)
                perform(runner, other)
                shown.append(panes(runner.context.state))
            assert len(set(shown)) == len(shown), "whoever looks at the panes can tell all of them apart"


@pytest.mark.parametrize("part", range(6))
def test_the_reason_for_an_errno_is_true_of_the_machine_in_the_question(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        made = exercise("errno", seed)
        before, after, truth = played(made)
        gets = next(answer.reply for answer in made.answers if answer.text == "it gets the page")
        vpn = before.labels["p0", "buf"].start
        vma = before.vmas["p0", vpn]
        entry = before.ptes.get(("p0", vpn))
        assert gets.startswith("It does not get the page.") == bool(truth)
        assert any(word in gets for word in ("takes ", "is told which frame")) != bool(truth), gets
        facts = {
            "with VM_IO or VM_PFNMAP, before": bool(vma.flags & (VM_IO | VM_PFNMAP)),
            "This one has neither.": not vma.flags & (VM_IO | VM_PFNMAP),
            "GUP refuses this VMA": bool(vma.flags & (VM_IO | VM_PFNMAP)),
            "no VM_WRITE": not vma.flags & VM_WRITE,
            "no VM_READ": not vma.flags & VM_READ,
            "secretmem": vma.ops == "secretmem",
            "A page of a DAX file": vma.ops == "dax",
            "must hear of each write": vma.ops == "ext4",
            "no present entry": entry is None or not entry.present,
            ") does not allow writing.": entry is not None and not entry.writable,
            "special: ": after.ptes["p0", vpn].special if ("p0", vpn) in after.ptes else False,
            "without a fault": after.ptes.get(("p0", vpn)) == entry,
            "first makes a fault": after.ptes.get(("p0", vpn)) != entry,
        }
        for words, fact in facts.items():
            assert words not in gets or fact, (seed, words)


def test_an_errno_is_asked_of_many_mappings_and_none_is_given_away() -> None:
    made = [exercise("errno", seed) for seed in range(120)]
    assert len({(one.scene, one.account) for one in made}) > 100
    truths = {one.answers[one.right].text for one in made}
    assert truths >= {"it gets the page", "EFAULT", "EEXIST"}
    for truth in truths:
        assert any(
            truth in {answer.text for answer in one.answers} and one.answers[one.right].text != truth for one in made
        )


@pytest.mark.parametrize("seed", CORRUPTS)
def test_what_can_corrupt_is_judged_as_a_plain_search_judges_it(seed: int) -> None:
    made = exercise("corrupts", seed)
    permitted = [part.strip("`") for part in made.ask.split("by micro-steps: ")[1].split(". Can this")[0].split("; ")]
    script = "\n".join([*made.scene, *(f"may 1 {command}" for command in permitted)])
    severities = {severity for _, severity in search(set_up(parse(script))).distances}
    order = ("", "hazard", "splat", "corruption")
    assert made.right == max((order.index(severity) for severity in severities), default=0)
    if made.account:
        runner = machine(made.scene)
        broken = {violation.severity for line in made.account for violation in perform(runner, line).violations}
        assert broken & severities


def test_what_goes_badly_comes_more_often() -> None:
    scores = dict.fromkeys(KINDS, Score(20, 20, 20)) | {"pte": Score(20, 2, 0)}
    chosen = [choose(scores, seed) for seed in range(300)]
    assert chosen.count("pte") > 150
    assert len(set(chosen)) > 3, "what goes well is not forgotten"


def test_whether_something_corrupts_is_asked_of_many_scenes() -> None:
    made = [exercise("corrupts", seed) for seed in range(20)]
    assert len({(one.scene, one.ask) for one in made}) >= 17
    assert {one.right for one in made} >= {0, 1, 3}
    assert max(sum(one.right == number for one in made) for number in range(4)) < 12, "no answer is a good guess"


# -- beyond the small page -----------------------------------------------------------------------


def counted(asked: str, state: State) -> int:
    """The number that is asked for, counted in another way than the exercise does."""
    words = asked.rsplit("`", maxsplit=1)[-1]
    pfn = int(next(iter(re.findall(r"\bf(\d+)", words)), 0))
    head = pfn - pfn % 512
    if "refcount of the folio" in words:
        frame = state.frames.get(pfn) or state.frames.get(head)
        return frame.refcount if frame else 0
    if "mapcount" in words:
        small = sum(pte.present and pte.pfn == pfn for pte in state.ptes.values())
        return small + sum(entry.huge and entry.pfn <= pfn < entry.pfn + 512 for entry in state.tables.values())
    if "in use" in words:
        return sum(
            frame.pages for at, frame in state.frames.items() if head <= at < head + 512 and frame.kind != "free"
        )
    if "pool" in words:
        return 4 - sum(frame.pages == 512 for frame in state.frames.values())
    if "page tables" in words:
        roots = {process.pgd for process in state.processes.values()}
        below = {entry.pfn for entry in state.tables.values() if not entry.huge}
        return len(roots | below | set(state.deposits.values()))
    return state.frames[pfn].refcount if pfn in state.frames else 0


@pytest.mark.parametrize("kind", ["folio", "hugetlb", "tables", "ksm"])
@pytest.mark.parametrize("seed", range(3))
def test_numbers_beyond_the_small_page_are_what_the_model_has(kind: str, seed: int) -> None:
    made = exercise(kind, seed)
    texts = [answer.text for answer in made.answers]
    assert made.kind == kind
    assert len(set(texts)) == len(texts) >= 3
    _, after, _ = played(made)
    assert texts[made.right] == str(counted(made.ask, after))
    assert len(hints(made)) == 2


@pytest.mark.parametrize("seed", range(6))
def test_what_an_access_comes_to_with_userfaultfd_is_what_happens(seed: int) -> None:
    made = exercise("userfaultfd", seed)
    runner = machine(made.scene)
    *_, outcome = (perform(runner, line).outcome for line in made.account)
    said = {
        "blocked": "waits",
        "signal": "SIGBUS",
        "ok": "writes" if "write" in made.account[1] else f"reads {outcome.value}",
    }
    assert said[outcome.status] in made.answers[made.right].text
    assert len({answer.text for answer in made.answers}) == len(made.answers) >= 3


def test_an_entry_in_swap_is_asked_about() -> None:
    truths = [one.answers[one.right].text for one in (exercise("swap", seed) for seed in range(8))]
    assert "not present: swap" in truths
