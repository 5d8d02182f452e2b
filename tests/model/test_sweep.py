"""The sweep of ordinary calls: its scenes are sound, it finds what is there, and it can be thinned."""

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.compare import sweep
from model.compare.coverage import code_pairs, thinned
from model.compare.ordinary_calls import BACKINGS, CALLS, Backing
from model.compare.sweep import SweepCase, answer, answers, calls_for, cases, commands, has, is_bad, scene_lines
from model.engine.config import KERNELS
from model.script.parser import parse
from model.script.runner import Runner
from model.search.bfs import Search
from model.search.few_switches import FewSwitches
from model.search.fewest_preemptions import BoundedSearch
from model.search.problem import set_up


def faulty(exporter: str) -> Backing:
    """A buffer whose driver has a bug."""
    lines = (f"bo b 1 in=gtt exporter={exporter}", "mmap p0 buf bo:b shared rw 1 at=16")
    return Backing(exporter, lines, "buffer", moves=True)


NO_ZAP = faulty("no-zap")
NO_FLUSH = faulty("no-flush")


def case(backing: str, *calls: str, kernel: str = "6.18") -> SweepCase:
    """The case of that name."""
    mapped = next(known for known in BACKINGS if known.name == backing)
    return SweepCase(kernel, mapped, tuple(next(known for known in CALLS if known.name == name) for name in calls))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("backing", BACKINGS, ids=lambda backing: backing.name)
def test_every_backing_can_be_set_up(backing: Backing, kernel: str) -> None:
    if not has(kernel, backing):
        pytest.skip("this kernel has no such mapping")
    runner = Runner()
    alone = [call for call in calls_for(backing, kernel) if not call.setup]
    for command in commands(SweepCase(kernel, backing, tuple(alone))):
        account = runner.perform(command)
        assert account.outcome.status == "ok", command.text
        assert not account.violations, command.text


def test_every_call_meets_every_other_and_itself_on_every_kernel() -> None:
    found = {(one.kernel, *(call.name for call in one.calls)) for one in cases(KERNELS)}
    for kernel in KERNELS:
        assert (kernel, "madvise dontneed", "migrate") in found
        assert (kernel, "fork", "fork") in found
        assert (kernel, "truncate", "pwrite") in found
        assert (kernel, "munmap", "fork", "move") in found


def test_a_driver_that_forgets_to_zap_is_found_and_the_trace_replays() -> None:
    found = answer(case("qxl", "move", "mlock")._replace(backing=NO_ZAP), most_preemptions=0)
    assert found.bad
    assert found.severity == "corruption"
    runner = Runner()
    violations = [each for command in parse(found.trace) for each in runner.perform(command).violations]
    assert found.invariant in {violation.invariant for violation in violations}


def test_what_was_found_on_one_kernel_goes_for_those_that_do_the_same_in_it() -> None:
    """udmabuf maps one page a fault until 6.12 and the whole VMA since 6.13: its file says so. Here that is one page.

    In 6.1 that page was counted. On ext4 a zap flushes before it drops the mapcount of a dirty page, since 6.2; and a
    fault at the end of a file is another in 6.18 than in 6.12 (`fault-around at the end of a file installs no table`).
    """
    asked = [
        case(of, call, call, kernel=kernel)
        for of, call in (("anonymous", "mlock"), ("udmabuf", "mlock"), ("ext4", "munmap"))
        for kernel in ("6.1", "6.12", "6.18")
    ]
    found = [one.same_as for _, one in answers(asked, most_preemptions=0)]
    assert found == ["", "6.1", "6.1", "", "", "6.12", "", "", ""]


ALIKE = (
    case("udmabuf", "mlock", "mremap"),
    case("anonymous, given up", "msync", "reclaim"),
    case("memfd, private", "munmap", "punch"),
    case("qxl", "move", "mprotect r"),
)


@pytest.mark.parametrize("one", ALIKE, ids=lambda one: one.name)
def test_a_search_that_is_taken_over_is_the_one_that_would_have_been_made(one: SweepCase) -> None:
    asked = [one._replace(kernel=kernel) for kernel in KERNELS]
    taken = [(each, found) for each, found in answers(asked, most_preemptions=0) if found.same_as]
    assert taken
    for each, found in taken:
        own = answer(each, most_preemptions=0)
        assert (found.states, found.invariant, found.trace) == (own.states, own.invariant, own.trace)


def test_what_a_kernel_really_does_is_told_with_its_source() -> None:
    """munmap() of fsdax up to 6.12 unlinks the VMA, and truncation frees the block, before the TLBs are flushed."""
    for kernel, source in (("6.1", "tlb_end_vma"), ("6.18", "")):
        found = answer(case("DAX", "munmap", "truncate", kernel=kernel), most_preemptions=1)
        assert not found.bad
        assert source in found.known


@pytest.mark.parametrize("backing", ["anonymous", "anonymous, merged"])
def test_direct_io_and_fork_part_a_page_on_6_1_and_no_longer(backing: str) -> None:
    found = answer(case(backing, "fork", "direct-read", kernel="6.1"), most_preemptions=1)
    assert found.invariant == "foreign-access"
    assert "iov_iter_get_pages2" in found.known
    assert not answer(case(backing, "fork", "direct-read"), most_preemptions=1).invariant


def test_few_cases_cover_what_can_meet() -> None:
    pairs = [one for one in cases(["6.18"], BACKINGS[3:5]) if len(one.calls) == 2]
    few = thinned(pairs, 40)
    assert few == thinned(pairs, 40)
    assert len(few) == 40
    everything = frozenset[tuple[str, str]]().union(*map(code_pairs, pairs))
    covered = frozenset[tuple[str, str]]().union(*map(code_pairs, few))
    assert len(covered) > 0.7 * len(everything)


THIN = 7
"""Pairs of each kernel that the tests search."""

NAMES = ("p0", "p1", "c", "f", "b", "buf", "over", "dev", "r", "looker", "reader")
"""Every name that a scene of the sweep gives to something."""

RENAMED = (
    case("qxl", "fork", "move"),
    case("qxl", "mremap", "move"),
    case("memfd", "munmap", "truncate"),
    case("anonymous", "fork", "remote-write"),
    case("udmabuf", "punch", "mirror", kernel="6.1"),
)


def renamed(lines: tuple[str, ...], names: dict[str, str]) -> str:
    """A scene with other names for everything that has one."""
    word = re.compile(rf"(?<![\w-])({'|'.join(names)})(?![\w-])")
    return "".join(f"{word.sub(lambda found: names[found[0]], line)}\n" for line in lines)


def searched(text: str) -> BoundedSearch:
    search = BoundedSearch(Search(set_up(parse(text))), lambda _: False, most_preemptions=0)
    search.run()
    return search


searched_as_written = cache(searched)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(RENAMED),
    st.lists(st.from_regex(r"[a-zA-Z][a-z0-9_]{0,3}[0-9]", fullmatch=True), min_size=11, max_size=11, unique=True),
)
def test_names_make_no_difference(one: SweepCase, names: list[str]) -> None:
    lines = scene_lines(one)
    ours = searched_as_written("".join(f"{line}\n" for line in lines))
    theirs = searched(renamed(lines, dict(zip(NAMES, names, strict=True))))
    assert len(ours.settled) == len(theirs.settled)
    assert ours.broken == theirs.broken


def test_ordinary_calls_do_no_harm() -> None:
    """A thinned sweep: of some backings the pairs in which most functions meet. `make sweep` searches all of them."""
    pairs = [one for one in cases(KERNELS, BACKINGS[::3]) if len(one.calls) == 2]
    chosen = {(one.backing.name, one.calls) for one in thinned([one for one in pairs if one.kernel == "6.18"], THIN)}
    for one, found in answers((one for one in pairs if (one.backing.name, one.calls) in chosen), most_preemptions=1):
        assert not found.bad, f"{one.name}: {found.invariant}\n{found.trace}"
        assert found.complete


def test_a_pair_of_too_many_states_is_searched_with_few_preemptions(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = case("secretmem", "mlock", "munlock")
    whole = answer(pair)
    assert (whole.bound, whole.complete) == (None, True)
    monkeypatch.setattr(sweep, "FEW_STATES", whole.states // 2)
    few = answer(pair)
    assert (few.bound, few.complete, few.invariant) == (2, True, "")
    monkeypatch.setattr(sweep, "MOST_BEYOND", few.states // 2)
    fewer = answer(pair)
    assert (fewer.bound, fewer.complete) == (1, True)
    assert not answer(pair, most_states=fewer.states // 4).complete


DIVIDED = (
    case("qxl", "move", "mlock")._replace(backing=NO_ZAP),
    case("qxl", "move", "remote-read")._replace(backing=NO_FLUSH),
    case("DAX", "truncate", "mremap"),
    case("udmabuf", "punch", "mirror", kernel="6.1"),
    case("memfd", "munmap", "truncate"),
)


@pytest.mark.parametrize("one", DIVIDED, ids=lambda one: one.name)
@pytest.mark.parametrize("preemptions", [0, 1])
def test_the_fast_search_finds_what_the_careful_one_finds(one: SweepCase, preemptions: int) -> None:
    searches = [Search(set_up(commands(one)), symmetry=False) for _ in range(2)]
    careful = BoundedSearch(searches[0], is_bad, preemptions)
    found = careful.run()
    fast = FewSwitches(searches[1], is_bad, preemptions, 1_000_000)
    harm = fast.run()
    assert (harm is None) == (found is None)
    if harm is not None and found is not None:
        assert harm.path.preemptions == found[0].preemptions
    else:
        assert (fast.stuck is not None) == careful.stuck
