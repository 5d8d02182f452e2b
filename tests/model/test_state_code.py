"""State codes: what comes out is what went in, whatever happened; what is no code, or was damaged, is said to be."""

import contextlib
import string
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lessons.file.scene_library import ready_scenes
from model.script.parser import parse
from model.session.session import Session
from model.session.state_code import CodeError, Opened, encode, follow, pack, unpack
from tests.model.test_move_log import sessions

URL_SAFE: Final = set(string.ascii_letters + string.digits + "-_.")


def stale() -> Session:
    session = Session()
    for line in ("process p0", "mmap p0 buf anon private rw 1", "write p0 buf 1", "gup p0 buf as=r", "fork p0 p1"):
        session.run(line)
    return session


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(sessions())
def test_any_schedule_comes_back_exactly(session: Session) -> None:
    code = encode(session.timeline, session.node)
    assert set(code) <= URL_SAFE
    twin = Session()
    assert follow(twin, code)
    assert twin.state == session.state
    assert twin.state.to_json() == session.state.to_json()
    way = session.timeline.path_to(session.node)
    assert [node.outcome for node in twin.timeline.nodes] == [node.outcome for node in way]
    assert (twin.running is None) == (session.running is None)


@pytest.mark.parametrize("scene", ready_scenes(), ids=lambda scene: scene.name)
def test_a_whole_scene_is_a_few_lines_of_text(scene: object) -> None:
    session = Session()
    for command in parse(getattr(scene, "text")):  # noqa: B009
        session.perform(command)
    code = encode(session.timeline, session.node)
    assert len(code) < 300
    twin = stale()
    broken = "\n".join(code[at : at + 40] for at in range(0, len(code), 40))
    assert follow(twin, f"  {broken}\r\n"), "a mail program may break it, and other branches do not matter"
    assert twin.state == session.state


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_code_is_refused_and_nothing_is_lost(data: st.DataObject) -> None:
    session = stale()
    code = encode(session.timeline, session.node)
    at = data.draw(st.integers(5, len(code) - 1))
    letter = data.draw(st.sampled_from(sorted(URL_SAFE - {code[at]})))
    damaged = data.draw(st.sampled_from([code[:at], code[:at] + letter + code[at + 1 :], code[:at] + code[at + 1 :]]))
    here = session.node
    with pytest.raises(CodeError):
        follow(session, damaged)
    assert session.node is here


@given(st.text(max_size=200))
def test_what_is_no_code_is_said_to_be_none(text: str) -> None:
    with pytest.raises(CodeError, match=r"state code|damaged|version|characters"):
        unpack(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from((">process p0", "3", "@0", "@99", "!", "&", "*x", "t 1"))))
)
def test_whatever_a_foreign_code_says_nothing_worse_than_an_error_comes_of_it(lines: list[str]) -> None:
    with contextlib.suppress(CodeError):
        follow(Session(), pack(Opened("\n".join(lines), 0)))


def test_reading_a_code_is_bounded() -> None:
    with pytest.raises(CodeError, match="at most 20000"):
        unpack("pte1." + "A" * 50_000 + ".AAAA")
    bomb = pack(Opened("\n" * 3_000_000, 0))
    assert len(bomb) < 20_000
    with pytest.raises(CodeError, match="unfolds to more than"):
        unpack(bomb)
    with pytest.raises(CodeError, match="at most 50000 micro-steps"):
        follow(Session(), pack(Opened(">process p0\n999999999", 0)))
    with pytest.raises(CodeError, match="not followed"):
        follow(Session(), pack(Opened(">process p0\n&", 0)))
    with pytest.raises(CodeError, match="version 2; this program reads version 1"):
        unpack("pte2.AAAA.BBBB")


def test_another_model_is_noticed() -> None:
    session = stale()
    opened = unpack(encode(session.timeline, session.node))
    assert not follow(Session(), pack(opened._replace(fingerprint=opened.fingerprint ^ 1)))


def test_a_machine_that_did_not_begin_empty_has_no_code() -> None:
    session = Session(stale().node.context)
    with pytest.raises(CodeError, match="did not begin empty"):
        encode(session.timeline, session.node)
