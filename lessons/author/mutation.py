"""The model broken on purpose: would any lesson notice? Each mutant forgets one micro-step, or one look at a flag.

What a lesson says is only worth something if it would say otherwise on a wrong model. So for each mutant some lesson
must have another answer, another remark, or a goal that its solution does not reach. That a lesson cannot be played to
its end is not enough: it would have said nothing wrong until then.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from lessons.file.schema import Do, Goal, Lesson
from lessons.play.any_answer_player import MOST_MOVES, go_on
from lessons.play.playback import Standing, play, play_all, set_scene
from lessons.play.player import Player
from model.engine.procedure import Procedure
from model.kernel.all_procedures import all_procedures
from model.kernel.drivers.driver_op import PERFORMED
from model.memory.records import Pte
from model.script import execute


class Mutant(NamedTuple):
    """One deliberate bug in the kernel."""

    name: str
    what: str
    """The bug, as a kernel developer would call it."""
    step: str
    """`procedure.step` that is forgotten; of a property of entries, the steps that ask for it."""
    never: str = ""
    """Instead of forgetting a step: this property of Pte is never true."""
    function: str = ""
    """Instead of forgetting a step, which would make it go round in circles: this function that it asks, as
    `module:name`, …"""
    answer: bool = False
    """… always says this."""
    word: str = ""
    """Instead of forgetting a step of a class: drivers whose files have this step forget it."""


MOST_STEPS: Final = 20_000
"""A mutant may go round in circles: so many micro-steps of one command are enough to know."""
MUTANTS: Final = (
    Mutant(
        "no-recheck",
        "GUP-fast does not look at the entry again",
        "gup_fast.recheck_pte",
        function="model.kernel.mm.gup_fast:pte_unchanged",
        answer=True,
    ),
    Mutant("irqs-on", "GUP-fast leaves interrupts on", "gup_fast.disable_interrupts"),
    Mutant("no-vma-flags", "GUP does not ask for the VMA's flags", "get_user_pages.check_vma_flags"),
    Mutant("no-special", "no walker sees the special bit", "gup_fast.read_pte", never="special"),
    Mutant("no-flush", "unmapping does not flush the TLB", "tlb_finish_mmu.tlb_flush"),
    Mutant("no-local-flush", "the own CPU is not flushed", "flush_tlb_range.flush_local"),
    Mutant("no-ipi", "other CPUs are not waited for", "flush_tlb_range.wait_for_ipi"),
    Mutant("no-put", "unmapping keeps the reference of the entry", "tlb_finish_mmu.tlb_batch_pages_flush"),
    Mutant("no-clear", "unmapping leaves the entries", "zap_page_range_single.zap_pte_range"),
    Mutant(
        "no-notifier", "nobody is told of an invalidation", "zap_page_range_single.mmu_notifier_invalidate_range_start"
    ),
    Mutant("no-nuke", "a move leaves the entries of the buffer", "ttm_bo_unmap_virtual.zap", word="zap"),
    Mutant("no-copy", "a move does not copy", "ttm_bo_move.copy", word="copy"),
    Mutant("no-move-notify", "dynamic importers are not told of a move", "ttm_bo_move.notify", word="notify"),
    Mutant(
        "no-buffer-lock",
        "a fault does not wait for a move",
        "ttm_bo_vm_fault.ttm_bo_vm_reserve",
        function="model.kernel.drivers.driver_fault:try_lock",
        answer=True,
    ),
    Mutant(
        "no-exclusive",
        "a write fault never copies",
        "do_wp_page.reuse_or_copy",
        function="model.kernel.mm.wp_fault:can_reuse_anon_folio",
        answer=True,
    ),
    Mutant("no-fork-flush", "fork does not flush the parent's TLB", "kernel_clone.flush_tlb_mm"),
    Mutant("no-migration-check", "migration does not compare the count", "migrate_pages.folio_migrate_mapping"),
    Mutant("no-dax-wait", "truncating a DAX file does not wait for references", "dax_break_layout.wait_page_idle"),
    Mutant("no-punch-unmap", "punching a hole does not unmap", "shmem_fallocate.unmap_mapping_range"),
    Mutant(
        "no-mirror-retry",
        "a mirror does not ask whether it was invalidated",
        "mirror_range.mmu_interval_read_retry",
        function="model.kernel.mm.hmm:mmu_interval_read_retry",
    ),
    Mutant("no-forget", "put does not give the reference back", "put_reference.put_pages"),
    Mutant("no-read-protect", "mprotect leaves the entries writable", "change_protection.change_pte_range"),
    Mutant("no-tables-freed", "munmap keeps page tables that became useless", "free_pgtables.unhook_tables"),
)


class Noticed(NamedTuple):
    """What a lesson says to a mutant."""

    lesson: str
    how: str
    """The answer or remark that became another, or the goal that is not reached."""


class Sayings(NamedTuple):
    """What a lesson says while it is played, as far as it can be."""

    answers: dict[str, str]
    """Prediction id → the model's answer."""
    remarks: tuple[tuple[str, str], ...]
    """Of each remark, in order: the micro-step, and the text with the model's numbers in it."""
    reached: frozenset[str]
    """Ids of goals that their solutions reach …"""
    missed: frozenset[str]
    """… and of those that they do not."""


class Baseline(NamedTuple):
    """A lesson on the true model."""

    lesson: Lesson
    says: Sayings
    steps: frozenset[str]
    """Micro-steps that it plays."""


def baseline(lesson: Lesson) -> Baseline:
    """What a lesson says and does without a mutant. Raises LessonError."""
    return Baseline(lesson, _sayings(lesson), frozenset(_steps(lesson)))


def _sayings(lesson: Lesson) -> Sayings:
    """A lesson played with any answers and its own solutions; a broken model may end that anywhere."""
    remarks: list[tuple[str, str]] = []
    answers: dict[str, str] = {}
    reached: set[str] = set()
    missed: set[str] = set()
    with contextlib.suppress(Exception):
        player = Player(lesson)
        for _ in range(MOST_MOVES):
            goal = player.goal
            if goal is not None and goal.id not in player.reached and len(player.place.typed) == len(goal.solution):
                missed.add(goal.id)
                break
            word = "" if player.finished else go_on(player)
            answers = {name: verdict.truth for name, verdict in player.judged.items()}
            reached |= player.reached
            if player.finished or word:
                break
            remarks += [(step.name, step.remark) for step in player.place.played_steps if step.remark]
    return Sayings(answers, tuple(remarks), frozenset(reached), frozenset(missed))


def _steps(lesson: Lesson) -> Iterator[str]:
    """Every micro-step that is made while the lesson is played."""
    standing: Standing | None = None
    for item in lesson.items:
        standing = set_scene(lesson, item) if item.world else standing
        assert standing is not None
        action = item.action
        played_steps = list(play_all(action, standing, lesson.file)) if isinstance(action, Do) else []
        for command in action.solution if isinstance(action, Goal) else ():
            played_steps += play(played_steps[-1].standing if played_steps else standing, command, lesson.file)
        if played_steps:
            standing = played_steps[-1].standing
        yield from (played_step.name for played_step in played_steps if played_step.stepped)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """The model with this bug, for as long as the block runs."""
    limit = execute.MOST_STEPS
    vars(execute)["MOST_STEPS"] = MOST_STEPS
    try:
        with _broken(mutant):
            yield
    finally:
        vars(execute)["MOST_STEPS"] = limit


@contextmanager
def _broken(mutant: Mutant) -> Iterator[None]:
    """One property, function or step as the mutant has it."""
    if mutant.word:
        performed = PERFORMED[mutant.word]
        PERFORMED[mutant.word] = _nothing
        try:
            yield
        finally:
            PERFORMED[mutant.word] = performed
        return
    if mutant.function:
        module, _, function = mutant.function.partition(":")
        names = vars(import_module(module))
        true = names[function]
        names[function] = lambda *_, **__: mutant.answer
        try:
            yield
        finally:
            names[function] = true
        return
    if mutant.never:
        true = getattr(Pte, mutant.never)
        setattr(Pte, mutant.never, property(lambda _: False))
        try:
            yield
        finally:
            setattr(Pte, mutant.never, true)
        return
    procedure, _, name = mutant.step.partition(".")
    body = next(micro.body for micro in all_procedures()[procedure].steps if micro.name == name)
    changed: list[tuple[type[Procedure], tuple[Any, ...]]] = []
    for other in all_procedures().values():
        steps = other.steps
        if any(micro.body is body for micro in steps):
            changed.append((other, steps))
            other.steps = tuple(replace(micro, body=_nothing) if micro.body is body else micro for micro in steps)
    try:
        yield
    finally:
        for other_procedure, steps in changed:
            other_procedure.steps = steps


def _nothing(*_: object) -> None:
    """A step that does nothing and goes on."""


def noticed(mutant: Mutant, lessons: Sequence[Baseline], *, all_of_them: bool = False) -> Iterator[Noticed]:
    """Lessons that notice the mutant, by default only the first; only those that make the step are asked."""
    asked = [one for one in lessons if mutant.step in one.steps]
    with mutated(mutant):
        for one in sorted(asked, key=lambda one: len(one.steps)):
            how = _how(one)
            if how:
                yield Noticed(one.lesson.id, how)
                if not all_of_them:
                    return


def _how(known: Baseline) -> str:
    """How a lesson notices that the model is another; empty: it does not."""
    says = _sayings(known.lesson)
    for name, answer in known.says.answers.items():
        if says.answers.get(name, answer) != answer:
            return f"{name}: {says.answers[name]} instead of {answer}"
    for goal in sorted(says.missed & known.says.reached):
        return f"{goal}: its solution does not reach the goal"
    for (step, text), (other, before) in zip(says.remarks, known.says.remarks, strict=False):
        if (step, text) != (other, before):
            return f"remark at {other}: {_short(text)} instead of {_short(before)}"
    return ""


def _short(text: str) -> str:
    return f"`{text}`" if len(text) <= 50 else f"`{text[:47]}...`"
