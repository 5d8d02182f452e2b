"""The engine: what a micro-step may return, and what becomes of the task."""

from collections.abc import Iterator

import pytest

from model.engine.procedure import (
    MOST_CALLS,
    Outcome,
    Procedure,
    Result,
    Stepped,
    advance,
    begin,
    blocked,
    call,
    done,
    fail,
    goto,
    signal,
    step,
    tail,
)
from model.memory.errno import EFAULT, ENOMEM
from model.memory.events import Printk, Splat
from model.memory.records import Cpu
from model.memory.state import Change, State, Transaction


class halve(Procedure):
    """n / 2, for even numbers."""

    source = "lib/math.c"
    n: int

    @step
    def check(self, tx: Transaction) -> Outcome:
        """Only even numbers
        can be halved.

        Others are refused.
        """
        return fail(EFAULT) if self.n % 2 else None

    @step
    def divide(self, tx: Transaction) -> Outcome:
        """Do it."""
        return done(self.n // 2, out=(self.n,))


class count_down(Procedure):
    """Note n, n - 1 … 1 in the content of frame 0."""

    n: int

    @step
    def write(self, tx: Transaction) -> Outcome:
        """One more."""
        if self.n == 0:
            return None
        tx.content[0] = self.n
        self.n -= 1
        return goto(count_down.write)


class halve_twice(Procedure):
    """n / 4, one call after the other."""

    n: int
    first: int = 0

    @step
    def once(self, tx: Transaction) -> Outcome:
        """Call …"""
        return call(halve(n=self.n))

    @step
    def again(self, tx: Transaction) -> Outcome:
        """… and call with what came back …"""
        if self.ret < 0:
            return done(self.ret)
        self.first = self.ret
        return call(halve(n=self.ret), then=halve_twice.check)

    @step
    def skipped(self, tx: Transaction) -> Outcome:
        """Nobody comes here."""
        raise AssertionError

    @step
    def check(self, tx: Transaction) -> Outcome:
        """… and hand both on."""
        return done(self.ret, out=(self.first, *self.out))


class halve_by_proxy(Procedure):
    """Return whatever halve returns."""

    n: int
    last: bool = False

    @step
    def replace(self, tx: Transaction) -> Outcome:
        """A tail call, or a call as the last step."""
        return None if self.last else tail(halve(n=self.n))

    @step
    def ask(self, tx: Transaction) -> Outcome:
        """The last step."""
        return call(halve(n=self.n))


class recurse(Procedure):
    """Call itself for ever."""

    @step
    def again(self, tx: Transaction) -> Outcome:
        """Deeper."""
        return call(recurse())


class wait_for_content(Procedure):
    """Write into frame 1 once frame 0 has content."""

    @step
    def look(self, tx: Transaction) -> Outcome:
        """Is it there?"""
        tx.content[1] = 7
        return None if tx.content.get(0) else blocked("frame 0 is empty")


class interrupts_off(Procedure):
    """Three steps with interrupts off."""

    @step
    def disable(self, tx: Transaction) -> None:
        """Off."""
        tx.cpus.update(tx.task.cpu, irqs_off_by=tx.task_name)

    @step
    def work(self, tx: Transaction) -> Outcome:
        """Nobody else runs here."""

    @step
    def enable(self, tx: Transaction) -> None:
        """On."""
        tx.cpus.update(tx.task.cpu, irqs_off_by="")


class oops(Procedure):
    """Die in the second step."""

    fatal: bool = True

    @step
    def disable(self, tx: Transaction) -> None:
        """Off."""
        tx.cpus.update(tx.task.cpu, irqs_off_by=tx.task_name)

    @step
    def stumble(self, tx: Transaction) -> None:
        """Over a count that is wrong."""
        tx.content[0] = 1
        tx.emit(Printk("about to fall"))
        tx.emit(Splat("kernel BUG at mm/gup.c", fatal=self.fatal))


class call_oops(Procedure):
    """A caller for the trace."""

    fatal: bool = True

    @step
    def go(self, tx: Transaction) -> Outcome:
        """Call it."""
        return call(oops(fatal=self.fatal))


class segfault(Procedure):
    """End with a signal."""

    @step
    def touch(self, tx: Transaction) -> Outcome:
        """Where nothing is mapped."""
        return signal("SIGSEGV", "SEGV_MAPERR")


def machine() -> State:
    tx = Transaction(State())
    tx.cpus[0] = Cpu()
    tx.cpus[1] = Cpu()
    return tx.commit()[0]


def steps_of(procedure: Procedure, state: State | None = None) -> Iterator[Stepped]:
    """Run a task to its end, one micro-step at a time."""
    state = begin(state or machine(), "main", procedure, "p0", 0)
    while True:
        stepped = advance(state, "main")
        yield stepped
        if stepped.result is not None:
            return
        state = stepped.state


def result_of(procedure: Procedure) -> Result:
    *_, last = steps_of(procedure)
    assert last.result is not None
    assert "main" not in last.state.tasks
    return last.result


def names_of(procedure: Procedure) -> list[str]:
    return [f"{stepped.procedure}.{stepped.step}" for stepped in steps_of(procedure)]


# -- what a step may return -------------------------------------------------------------------


def test_steps_run_in_the_order_they_are_written() -> None:
    assert names_of(halve(n=6)) == ["halve.check", "halve.divide"]


def test_done_gives_a_value_and_fail_an_errno() -> None:
    assert result_of(halve(n=6)) == Result(3, (6,))
    assert result_of(halve(n=5)) == Result(-EFAULT)
    assert result_of(halve(n=6)).ok
    assert not result_of(halve(n=5)).ok


def test_falling_off_the_end_is_success() -> None:
    assert result_of(interrupts_off()) == Result(0)


def test_goto_repeats_a_step_and_the_variables_are_kept() -> None:
    *most, last = steps_of(count_down(n=3))
    assert [stepped.state.content[0] for stepped in most] == [3, 2, 1]
    assert last.changes == ()


def test_call_goes_on_at_the_following_step_or_where_it_is_told() -> None:
    assert names_of(halve_twice(n=8)) == [
        "halve_twice.once",
        "halve.check",
        "halve.divide",
        "halve_twice.again",
        "halve.check",
        "halve.divide",
        "halve_twice.check",
    ]
    assert result_of(halve_twice(n=8)) == Result(2, (4, 4))


def test_a_failure_inside_comes_back_to_the_caller() -> None:
    assert result_of(halve_twice(n=7)) == Result(-EFAULT)


def test_the_depth_of_a_step_is_the_number_of_its_callers() -> None:
    assert [stepped.depth for stepped in steps_of(halve_twice(n=8))] == [0, 1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("last", [False, True])
def test_a_call_at_the_end_hands_the_result_to_our_caller(last: bool) -> None:
    assert result_of(halve_by_proxy(n=8, last=last)) == Result(4, (8,))


def test_a_tail_call_leaves_no_frame_on_the_stack() -> None:
    assert [stepped.depth for stepped in steps_of(halve_by_proxy(n=8))] == [0, 0, 0]


def test_a_signal_ends_the_access() -> None:
    result = result_of(segfault())
    assert (result.signal, result.si_code, result.ok) == ("SIGSEGV", "SEGV_MAPERR", False)


def test_a_runaway_recursion_is_a_bug_of_the_model() -> None:
    with pytest.raises(RecursionError, match=f"recurse called {MOST_CALLS + 1} deep"):
        result_of(recurse())


def test_a_step_explains_itself() -> None:
    first = next(steps_of(halve(n=6)))
    assert first.doc == "Only even numbers can be halved.\n\nOthers are refused."
    assert first.source == "lib/math.c"


# -- the task is part of the state ------------------------------------------------------------


def test_a_step_changes_neither_the_state_before_nor_its_own_earlier_variables() -> None:
    state = begin(machine(), "main", count_down(n=3), "p0", 0)
    once, again = advance(state, "main"), advance(state, "main")
    assert once.state == again.state
    assert state.tasks["main"].stack == (count_down(n=3),)
    assert once.state.tasks["main"].stack == (count_down(n=2),)


def test_the_journal_of_a_step_leaves_the_task_out() -> None:
    first = next(steps_of(count_down(n=3)))
    assert first.changes == (Change("content", 0, None, 3),)


def test_a_task_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        advance(machine(), "main")


def test_two_tasks_interleave_as_one_likes() -> None:
    state = begin(machine(), "a", count_down(n=2), "p0", 0)
    state = begin(state, "b", count_down(n=9), "p1", 1)
    seen = []
    for name in "abba":
        state = advance(state, name).state
        seen.append(state.content[0])
    assert seen == [2, 9, 8, 1]


# -- waiting ----------------------------------------------------------------------------------


def test_a_blocked_step_changes_nothing_and_is_tried_again() -> None:
    state = begin(machine(), "main", wait_for_content(), "p0", 0)
    waiting = advance(state, "main")
    assert (waiting.blocked, waiting.changes, waiting.result) == ("frame 0 is empty", (), None)
    assert waiting.state.tasks["main"].blocked == "frame 0 is empty"
    assert advance(waiting.state, "main").state == waiting.state
    tx = Transaction(waiting.state)
    tx.content[0] = 1
    finished = advance(tx.commit()[0], "main")
    assert finished.result == Result(0)
    assert finished.state.content[1] == 7


def test_with_interrupts_off_nobody_else_runs_on_that_cpu() -> None:
    state = begin(machine(), "irq", interrupts_off(), "p0", 0)
    for name, cpu in (("same", 0), ("other", 1), ("nic", -1)):
        state = begin(state, name, count_down(n=1), "p1", cpu)
    state = advance(state, "irq").state
    assert advance(state, "same").blocked == "cpu0: irq runs there with interrupts off"
    assert not advance(state, "other").blocked
    assert not advance(state, "nic").blocked
    for _ in range(2):
        state = advance(state, "irq").state
    assert not advance(state, "same").blocked


# -- splats -----------------------------------------------------------------------------------


def test_a_splat_carries_the_stack_of_its_task() -> None:
    *_, last = steps_of(call_oops())
    assert last.events == (
        Printk("about to fall"),
        Splat("kernel BUG at mm/gup.c", fatal=True, trace=("oops", "call_oops")),
    )


def test_an_oops_ends_the_task_keeps_its_writes_and_frees_its_cpu() -> None:
    *_, last = steps_of(call_oops())
    assert last.result == Result(-ENOMEM)
    assert last.state.content[0] == 1
    assert last.state.cpus[0] == Cpu()
    assert "main" not in last.state.tasks


def test_a_warning_does_not_end_the_task() -> None:
    assert result_of(call_oops(fatal=False)) == Result(0)


def test_what_a_mend_has_changed_is_explained_where_it_is_undone_and_nowhere_else() -> None:
    from model.kernel.arch.boot import boot
    from model.kernel.mm.gup import get_user_pages

    look_again = next(step for step in get_user_pages.steps if step.name == "look_again")
    assert "As it was" not in look_again.explanation(boot())
    told = look_again.explanation(boot(settings={"as-it-was": "foll-cow"}))
    assert told.startswith(look_again.doc)
    assert "GUP looks again as if it only read" in told
