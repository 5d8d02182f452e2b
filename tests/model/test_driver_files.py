"""Driver files: what one writes down about a driver is what the machine does."""

import pytest

from model.driver_files import library
from model.driver_files.parser import parse
from model.driver_files.resolve import resolve, whole
from model.driver_files.writing import one_line
from model.engine.config import KERNELS
from model.script.parser import parse as parse_script
from model.script.runner import Runner
from model.script.uses import with_drivers
from model.text.problems import ScriptError

EARLY = """
driver early
vma PFNMAP DONTEXPAND DONTDUMP
map at=fault insert=pfn
lock resv blocking
backing pages
op shrink:
  lock resv
  free -- mydrv.c: mydrv_shrink -- Too early.
  zap
  unlock resv
"""


def wrong(text: str) -> list[str]:
    """The problems of a driver file, as `LINE:COLUMN: message`."""
    with pytest.raises(ScriptError) as raised:
        whole(text)
    return str(raised.value).split("\n")


def run(script: str, **files: str) -> Runner:
    """A script carried out, with files for its `use` lines."""
    runner = Runner()
    for command in parse_script(with_drivers(script, lambda name: files[name])):
        account = runner.perform(command)
        assert account.outcome.status != "failed", account.outcome
    return runner


@pytest.mark.parametrize("name", library.names())
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_driver_that_comes_along_can_be_read_and_says_where_it_was_read(name: str, kernel: str) -> None:
    driver = resolve(library.text_of(name), kernel)
    assert driver.name == name
    assert driver.about
    assert driver.sources


def test_all_mistakes_of_a_file_are_told_with_line_column_and_the_nearest_word() -> None:
    told = wrong(
        "driver d\nvma PFNMAPP\nmap at=falt insert=pfn\nop purge:\n  zapp\n  lock resvv\n  call nobody\nop purge:\n"
    )
    assert told == [
        "2:5: `PFNMAPP` is not one of PFNMAP, MIXEDMAP, IO, DONTEXPAND, DONTDUMP, DONTCOPY; did you mean `PFNMAP`?",
        "3:8: `falt` is not one of mmap, fault, op; did you mean `fault`?",
        "5:3: `zapp` is no step; did you mean `zap`?",
        "6:3: no lock `resvv` is declared; declare it: `lock NAME ops`",
        "7:3: there is no function `nobody`; write it: `function NAME:`",
        "8:1: there is a list `purge` already (line 4)",
    ]


def test_a_circle_is_told_where_it_is_and_not_by_whoever_leads_into_it() -> None:
    assert wrong("driver d\nop a:\n  call f\nfunction f:\n  call f\n") == [
        "5:3: `f` calls itself: a driver cannot loop"
    ]


def test_a_head_that_cannot_be_read_hides_nothing() -> None:
    told = wrong("driver 9\nvma IOO\nop a\n  zapp\n  lock r\n  call f\nfunction f:\n  zap x\n  call g\n")
    assert [line.partition(" ")[0] for line in told] == ["1:8:", "2:5:", "3:5:", "4:3:", "5:3:", "8:7:", "9:3:"]


@pytest.mark.parametrize(
    ("line", "column", "meant"),
    [
        ("vma VM_IO", 5, "IO"),
        ("vma VM_PFNMAPP", 5, "PFNMAP"),
        ("fail-when x VM_FAULT_SIGBUS", 13, "SIGBUS"),
        ("writable refuse -EPERM", 17, "EPERM"),
        ("backing borrow:memfd require=F_SEAL_SHRINK", 30, "shrink"),
    ],
)
def test_a_word_in_the_kernels_spelling_is_told_how_it_is_written_here(line: str, column: int, meant: str) -> None:
    (told,) = wrong(f"driver d\n{line}")
    assert told.startswith(f"2:{column}: ")
    assert told.endswith(f"; did you mean `{meant}`?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1:1: a driver file begins with `driver NAME`"),
        ("vma IO", "1:1: a driver file begins with `driver NAME`, not with `vma`"),
        (
            "driver d\nuse other.driver",
            "2:1: a driver file uses no other: `like NAME` takes over from a bundled driver",
        ),
        (
            "driver d\nop loop:\n  call a\nfunction a:\n  call b\nfunction b:\n  call a",
            "5:3: `a` calls itself through others",
        ),
        (
            "driver d\nop a:\n"
            + "call f0\n" * 60
            + "".join(f"function f{i}:\n" + f"call f{i + 1}\n" * 60 for i in range(6))
            + "function f6:\nzap",
            "2:1: `a` has more than 2000 steps with those of the lists that it calls",
        ),
        ("driver d\nlike nobody", "2:1: `like nobody`: no bundled driver is called that"),
        (
            "driver d\nlock a trylock-retry\nlock b read",
            "2:1: `trylock-retry` is for the only lock that ->fault takes",
        ),
        ("driver d\nzap", "2:1: `zap` is a step: it stands below an `op NAME:`"),
        ("driver d\nop a:\n  backing pool", "3:3: `backing` is a field: fields stand before the first `op`"),
        ("driver d\nop a\n  zap", "2:5: a colon is missing (`op NAME:`)"),
        ("driver d\n" + "op a:\n" + "zap\n" * 65, "67:1: a list has at most 64 steps"),
        ("driver d\nmap at=fault insert=pfn range=all", "2:31: `all` is not one of one, around, vma"),
        ("driver d\nmap at=fault", "2:13: `insert=` is missing"),
        ("driver d\nop a:\n zap 99999999", "3:6: `99999999` is not a number of pages (0 to 1048576)"),
        ("driver d\x1b[2J", "1:9: the control character U+001B"),
        ("driver d\n" * 2_000, "1:1: a driver file has at most 1000 lines and 65536 characters"),
        ("driver d\nsince 5.4 vma IO", "2:7: `5.4` is no kernel: one of 6.1, 6.12, 6.18, 7.3"),
    ],
)
def test_what_cannot_be_a_driver_is_told_by_its_place(text: str, told: str) -> None:
    assert any(problem.startswith(told) for problem in wrong(text)), wrong(text)


def test_a_driver_in_one_line_is_the_same_driver() -> None:
    assert resolve(one_line(EARLY), "6.12").ops[0].name == resolve(EARLY, "6.12").ops[0].name == "shrink"
    assert [step.word for step in parse(one_line(EARLY)).lists[0].steps] == ["lock", "free", "zap", "unlock"]


def test_a_line_counts_on_the_kernels_that_it_names() -> None:
    text = "driver d\nuntil 6.1 vma MIXEDMAP\nsince 6.12 vma PFNMAP\nop a:\n  since 7.3 zap\n  notify"
    assert resolve(text, "6.1").vma_flags != resolve(text, "6.12").vma_flags
    assert [[step.word for step in resolve(text, kernel).ops[0].steps] for kernel in ("6.18", "7.3")] == [
        ["notify"],
        ["zap", "notify"],
    ]


def test_a_script_uses_a_driver_and_its_operations_are_verbs() -> None:
    runner = run(
        "use early.driver\nprocess p0\nbo b 1 exporter=early\nmmap p0 buf bo:b shared rw 1\nwrite p0 buf 65\n"
        "expect special p0 buf\nshrink b\nexpect violation freed-while-mapped\nexpect absent p0 buf\n"
        "read p0 buf\nexpect signal SIGBUS",
        **{"early.driver": EARLY},
    )
    assert runner.context.state.buffers["b"].frames == ()


def test_a_step_tells_its_kernel_function_and_the_words_of_the_file() -> None:
    runner = Runner()
    script = f"{one_line(EARLY)}\nprocess p0\nbo b 1 exporter=early\nshrink b"
    *_, account = [runner.perform(command) for command in parse_script(script)]
    free = next(note for note in account.steps if note.step == "free")
    assert (free.procedure, free.source) == ("early_shrink", "mydrv.c: mydrv_shrink")
    assert free.doc.startswith("Too early. Give memory back.")


def test_a_driver_that_no_file_describes_and_an_operation_that_it_does_not_have() -> None:
    for script, told in (
        ("bo b 1 exporter=erly", "1:17: there is no driver `erly`; there is qxl, bochs"),
        (
            f"{one_line(EARLY)}\nbo b 1 exporter=early\nbo c 1 exporter=panfrost\nshrink c",
            "4:8: `panfrost`, the driver of `c`, has no operation `shrink`",
        ),
        (f"{one_line(EARLY)}\nbo b 1 exporter=early\nshrnk b", "3:1: unknown command `shrnk`; did you mean `shrink`?"),
        ("use early.driver", "1:1: `use` reads no file here"),
        ("driver qxl; vma PFNMAP", "1:1: a bundled driver is called `qxl`: choose another name"),
        ("driver d; op munmap: ; zap", "1:11: the operation `munmap` of `d` has the name of a verb"),
        ("driver d; vam IO", "1:11: `vam` is no field; did you mean `vma`?"),
    ):
        with pytest.raises(ScriptError) as raised:
            parse_script(script)
        assert told in str(raised.value)


def test_a_file_that_is_wrong_is_told_at_the_line_that_uses_it() -> None:
    with pytest.raises(ScriptError) as raised:
        with_drivers("note x\nuse bad.driver", lambda _: "driver d\nvma IOO")
    assert str(raised.value).startswith("2:5: bad.driver:2:5: `IOO` is not one of")


def test_panfrost_purges_and_the_next_access_is_sigbus() -> None:
    run(
        "process p0\nbo b 2 exporter=panfrost\nmmap p0 buf bo:b shared rw 2\nwrite p0 buf 65\npurge b\n"
        "expect error EBUSY\nmadvise_dontneed b\npurge b\n"
        "expect absent p0 buf\nwrite p0 buf 65\nexpect signal SIGBUS\nmunmap p0 buf\ndestroy b\nexpect ok"
    )


def test_what_a_move_has_allocated_belongs_to_it_until_the_buffer_has_it() -> None:
    steps = "lock resv; zap; alloc; copy; switch; free; unlock resv"
    mover = f"driver mover; vma PFNMAP; map at=fault insert=pfn; lock resv blocking; backing pages; op move: ; {steps}"
    run(
        f"{mover}\nprocess p0\nbo b 1 exporter=mover\nmmap p0 buf bo:b shared rw 1\nwrite p0 buf 65\nmove b vram\n"
        "expect no violation\nread p0 buf\nexpect value 65\n"
    )
    leaks = mover.replace("free; ", "")
    run(f"{leaks}\nprocess p0\nbo b 1 exporter=mover\nmove b vram\nexpect violation reference-accounting\n")


PART = """\
driver part
vma PFNMAP
map at=fault insert=pfn
lock resv blocking
backing pages
op compact:
  lock resv
  zap 1 2
  alloc first=1 count=2
  copy
  switch
  free
  unlock resv
"""


@pytest.mark.parametrize("backing", ["pages", "pool", "cma", "vram"])
def test_a_part_of_a_buffer_moves_and_the_rest_stays_where_it_is(backing: str) -> None:
    runner = run(
        "use part.driver\nprocess p0\nbo b 4 exporter=part\nmmap p0 buf bo:b shared rw 4\nwrite p0 buf 10\n"
        "write p0 buf+1 11\nwrite p0 buf+2 12\nwrite p0 buf+3 13\ncompact b\nexpect no violation\n"
        "expect absent p0 buf[1:3]\nexpect present p0 buf+3\nread p0 buf\nexpect value 10\nread p0 buf+1\n"
        "expect value 11\nread p0 buf+2\nexpect value 12\nread p0 buf+3\nexpect value 13\ncompact b\n"
        "bo c 1 exporter=part\ncompact c\nexpect ok\ndestroy c\nexpect no violation\nread p0 buf+2\n"
        "expect value 12\nmunmap p0 buf\ndestroy b\nexpect no violation",
        **{"part.driver": PART.replace("backing pages", f"backing {backing}")},
    )
    state = runner.context.state
    assert {frame.kind for _, frame in state.frames.items() if "bo:" in frame.mapping} == set()


MAPPED = "process p0\nbo b 2 exporter=d\nmmap p0 buf bo:b shared rw 2\nwrite p0 buf 65\nwrite p0 buf+1 66\n"


def driver(*lines: str) -> str:
    """A small driver as one line of a script."""
    return "; ".join(("driver d", "vma PFNMAP", "map at=fault insert=pfn", "lock resv blocking", *lines)) + "\n"


def test_pages_counted_per_mapping_go_with_the_last_one_and_come_back_with_the_next() -> None:
    runner = run(
        driver("backing shmem", "counts per-mapping")
        + f"{MAPPED}fork p0 c\nmunmap p0 buf\nread c buf\nexpect value 65\nmunmap c buf+0\nread c buf+1\n"
        "expect value 66\n"
        "expect no violation\nmremap c buf+1 pages=1 maymove to=64\nexpect refcount c @64 2"
    )
    assert runner.context.state.buffers["b"].users == 1
    for command in parse_script(f"{driver('backing shmem', 'counts per-mapping')}{MAPPED}fork p0 c\nexit c")[-1:]:
        runner.perform(command)
    buffer = runner.context.state.buffers["b"]
    assert (buffer.users, buffer.frames, buffer.place) == (0, (), "none")


def test_the_last_close_waits_for_the_lock_under_which_pages_are_put() -> None:
    run(
        driver("backing shmem", "counts per-mapping", "op slow:", "lock resv", "notify", "unlock resv")
        + f"{MAPPED}begin s slow b\nstep s 1\nbegin u cpu=1 munmap p0 buf\nfinish u\nexpect blocked\n"
        "finish s\nfinish u\n"
        "expect ok\nmmap p0 buf bo:b shared rw 2\nread p0 buf+1\nexpect value 66\nexpect no violation"
    )


def test_a_close_that_forgets_keeps_the_buffer_for_ever() -> None:
    scene = f"{MAPPED}munmap p0 buf\nexpect no violation\ndestroy b\n"
    run(f"{driver('backing pages', 'close put')}{scene}expect no violation")
    run(f"{driver('backing pages', 'close forgets')}{scene}expect violation leaked-buffer")
    run(f"{driver('backing pool', 'close forgets')}{scene}expect violation leaked-buffer")
    run(f"{driver('backing pages', 'close forgets')}{MAPPED}destroy b\nexit p0\nexpect violation leaked-buffer")


def test_an_open_that_forgets_frees_the_buffer_under_the_mapping_that_is_left() -> None:
    scene = f"{MAPPED}destroy b\nfork p0 c\nmunmap c buf\n"
    run(f"{driver('backing pages', 'open get')}{scene}expect no violation")
    run(f"{driver('backing pages', 'open forgets')}{scene}expect violation freed-while-mapped")
    run(
        f"{driver('backing pages', 'open forgets')}{MAPPED}munmap p0 buf+0\nmunmap p0 buf+1\ndestroy b\n"
        "expect violation splat"
    )


def test_without_memory_no_part_of_a_buffer_can_move() -> None:
    run(
        "use part.driver\nprocess p0\nbo b 4 exporter=part\npurge b\ncompact b\nexpect error EINVAL",
        **{"part.driver": f"{PART}op purge:\n  lock resv\n  zap\n  free\n  unlock resv\n"},
    )


def test_what_is_no_driver_file_is_told_once() -> None:
    assert wrong("process p0\nbo b 1\nmmap p0 buf bo:b shared rw 1\n") == [
        "1:1: a driver file begins with `driver NAME`, not with `process`"
    ]


def test_drivers_of_a_script_are_bounded_and_a_missing_file_name_is_told() -> None:
    big = "driver d\n" + f"about {'x' * 900}\n# {'y' * 60}\nop a:\n" + "  notify\n" * 60
    with pytest.raises(ScriptError) as raised:
        with_drivers("use d\n" * 5_000 + "use\n", lambda _: big)
    assert str(raised.value).endswith("the drivers that a script uses have at most 4000000 characters")
    with pytest.raises(ScriptError, match=r"1:4: FILE is missing"):
        with_drivers("use", lambda _: big)


JOBS = """\
driver jobs
like vgem
op draw:
  fence draw
op copied:
  signal copy
op begin-copy:
  fence copy
op settle:
  wait-fence copy
op idle:
  wait-fence
"""


def test_each_job_of_a_device_has_a_fence_of_its_own() -> None:
    run(
        "use jobs.driver\nprocess p0\nbo b 1 exporter=jobs\ndraw b\nbegin-copy b\nbegin s settle b\nfinish s\n"
        "expect blocked\nbegin i idle b\nfinish i\nexpect blocked\ncopied b\nfinish s\nexpect ok\nfinish i\n"
        "expect blocked",
        **{"jobs.driver": JOBS},
    )


@pytest.mark.parametrize(
    ("line", "made", "later"),
    [
        ("", "ok", "ok"),
        ("writable refuse", "error EPERM", "error EACCES"),
        ("writable refuse EACCES keeps-maywrite", "error EACCES", "ok"),
    ],
)
def test_a_driver_may_refuse_mappings_that_are_written(line: str, made: str, later: str) -> None:
    run(
        "use reader.driver\nprocess p0\nbo b 1 exporter=reader\n"
        f"mmap p0 a bo:b shared rw 1\nexpect {made}\n"
        f"mmap p0 c bo:b shared r 1\nexpect ok\nmprotect p0 c rw\nexpect {later}",
        **{"reader.driver": f"driver reader\nlike vgem\n{line}\n"},
    )


SIZED = """\
driver sized
map at=fault insert=return-page
lock ring ops mmap
export refuse
backing pages
op resize:
  lock ring
  refuse-when mapped EBUSY
  free
  alloc
  switch
  unlock ring
"""


def test_an_mmap_waits_for_the_lock_that_it_takes() -> None:
    """sg_mmap() and usbmon's vm_ops->open take the lock under which a buffer is looked at and made anew."""
    scene = "use sized.driver\nprocess p0\nbo b 1 exporter=sized\nbegin r resize b\nstep r 2\n"
    mapping = "begin m mmap p0 buf bo:b shared rw 1\nfinish m\n"
    free = SIZED.replace("ring ops mmap", "ring ops")
    run(f"{scene}{mapping}expect blocked\nfinish r\nexpect ok\nfinish m\nexpect ok\n", **{"sized.driver": SIZED})
    run(f"{scene}{mapping}expect ok\n", **{"sized.driver": free})
    filled = SIZED.replace("at=fault insert=return-page", "at=mmap insert=page")
    run(
        "use sized.driver\nprocess p0\nbo b 1 exporter=sized\nbegin m mmap p0 buf bo:b shared rw 1\nstep m 7\n"
        "begin r resize b\nfinish r\nexpect error EBUSY\nfinish m\nexpect ok\nexpect present p0 buf",
        **{"sized.driver": filled},
    )


def test_a_driver_may_refuse_to_make_a_dma_buf() -> None:
    scene = "use sized.driver\nprocess p0\nbo b 1 exporter=sized\nexport b as=d\n"
    run(f"{scene}expect error ENOTTY", **{"sized.driver": SIZED})
    run(f"{scene}expect error ENOSYS", **{"sized.driver": SIZED.replace("refuse\n", "refuse ENOSYS\n", 1)})
    run(f"{scene}expect ok", **{"sized.driver": SIZED.replace("export refuse", "export allow")})


def test_a_device_may_use_the_pages_of_the_buffers_own_file() -> None:
    """Nobody holds them, which is a mistake; but as long as the file has them they are the buffer's."""
    loose = "driver loose; vma PFNMAP; map at=fault insert=pfn; backing shmem; op drop: ; truncate"
    run(
        f"{loose}\ndevice nic\nprocess p0\nbo b 1 exporter=loose\nexport b as=d\nattach d nic\nmap d nic as=r\n"
        "dma r write 9\nexpect no violation\ndrop b\ndma r write 9\nexpect violation foreign-dma\n"
    )


def test_a_semicolon_in_a_text_ends_a_line_and_a_complaint_says_so() -> None:
    assert wrong("driver d\nabout pages; they move") == ["2:14: `they` is no field; the `;` before it ends a line"]
    assert wrong("driver d\nvma IO; they move") == ["2:9: `they` is no field"]


def test_what_a_driver_that_is_taken_over_lacks_is_told_once_with_its_step() -> None:
    assert wrong("driver d\nlike vgem\nlock mine blocking") == [
        "2:1: in `vgem`, line 17, `lock resv`: no lock `resv` is declared; declare it: `lock NAME ops`"
    ]


def test_a_job_works_on_the_pages_that_it_began_with_until_it_is_signalled() -> None:
    """ttm_bo_handle_move_mem() is called when the fences of the buffer have been waited for."""
    moves = "lock resv; {wait}zap; alloc; copy; switch; free; unlock resv"
    text = "driver jobs; vma PFNMAP; map at=fault insert=pfn; lock resv blocking; backing pages; op move: ; {steps}"
    text += "; op submit: ; fence draw; op done: ; signal draw"
    scene = "\ndevice nic\nprocess p0\nbo b 1 exporter=jobs\nsubmit b\nbegin m move b vram\nfinish m\n"
    careless = text.format(steps=moves.format(wait="")) + scene
    run(f"{careless}expect ok\nexpect held b-job-draw\ndone b\nexpect violation foreign-dma\ndone b\nexpect ok")
    careful = text.format(steps=moves.format(wait="wait-fence; ")) + scene
    run(f"{careful}expect blocked\ndone b\nexpect no violation\nfinish m\nexpect no violation")


def test_a_fault_gets_the_pages_anew_where_the_driver_says_so() -> None:
    """msm_gem_evict() puts the pages, and the next msm_gem_fault() gets them from their shmem file, or from swap."""
    text = (
        "driver evicts; vma PFNMAP; map at=fault insert=pfn {flag}; lock resv blocking; backing shmem; counts get; "
        "op lose: ; lock resv; zap; put; shrink; unlock resv"
    )
    scene = "\nprocess p0\nbo b 1 exporter=evicts\nmmap p0 a bo:b shared rw 1\nwrite p0 a 65\nlose b\nread p0 a\n"
    run(f"{text.format(flag='')}{scene}expect signal SIGBUS")
    ends = "expect value 65\nexpect no violation\nmunmap p0 a\ndestroy b\nexpect no violation"
    run(f"{text.format(flag='gets-pages')}{scene}{ends}")


def test_what_is_put_twice_is_told_by_the_counts() -> None:
    text = "driver twice; vma PFNMAP; backing pages; op lose: ; zap; free {flag}; free"
    scene = "\nprocess p0\nbo b 1 exporter=twice\nlose b\n"
    run(f"{text.format(flag='')}{scene}expect no violation")
    run(f"{text.format(flag='keep-numbers')}{scene}expect violation underflow")


def test_a_driver_that_is_not_there_is_told_once() -> None:
    with pytest.raises(ScriptError) as raised:
        parse_script("driver d; op lose: ; zap\nbo b 1 exporter=dd\nlose b")
    assert len(raised.value.problems) == 1
