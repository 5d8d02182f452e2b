"""Why? As a key, as a word at the prompt, and as text."""

import io

import pytest
from rich.console import Console

from lessons.i18n.language import ENGLISH, use
from lessons.learner.progress import Store
from model.script.parser import parse
from tests.tui.user import SMALL, at
from tui.drivers.sandbox import SandboxDriver
from tui.plain.sandbox import PlainSandbox
from tui.screens.sandbox_stage import SandboxStage

SCRIPT = """
process p0
device nic
mmap p0 buf anon private rw 1
write p0 buf 65
gup p0 buf as=r0 write pin by=nic
madvise p0 buf dontneed
dma r0 write 99
"""


def said(typed: str) -> str:
    """What the plain sandbox answers."""
    output = io.StringIO()
    console = Console(file=output, width=200, no_color=True)
    PlainSandbox(SandboxDriver(parse(SCRIPT)), io.StringIO(), console).run()
    told = len(output.getvalue())
    PlainSandbox(SandboxDriver(parse(SCRIPT)), io.StringIO(f"{typed}\n"), console).run()
    return output.getvalue()[2 * told :]


@pytest.mark.parametrize(
    ("typed", "links"),
    [
        ("why", ["corruption lost-write:", "took r0, a pin", "cleared the entry of p0 buf", "nic wrote 99"]),
        ("why p0 buf", ["page p0:16:", "cleared the entry of p0 buf (page 16)"]),
        ("why f5", ["frame f5:", "the byte in frame f5:", "the refcount of frame f5:", "1025"]),
        ("why r0", ["ref r0:", "(gup p0 buf as=r0 write pin by=nic: "]),
        ("why p0 nix", ["no label nix of p0"]),
        ("why nobody", ["there is no `nobody`; expected PROCESS WHERE"]),
    ],
)
def test_the_answer_as_text_goes_back_to_the_commands(typed: str, links: list[str]) -> None:
    text = said(typed)
    places = [text.find(link) for link in links]
    assert -1 not in places, text
    assert places == sorted(places)


def test_the_answer_is_in_the_readers_language_down_to_the_links() -> None:
    use("de")
    try:
        text = said("why")
    finally:
        use(ENGLISH)
    for link in ("r0 genommen (pin)", "Eintrag von p0 buf (Seite 16) gelöscht", "nic hat über r0 99 geschrieben"):
        assert link in text
    assert "cleared" not in text


async def test_the_word_opens_the_same_as_the_key_and_enter_goes_there(store: Store) -> None:
    async with at(store, SandboxDriver(parse(SCRIPT)), SMALL) as user:
        end = user.stage.picture.position
        await user.command("why p0 buf")
        await user.pilot.pause()
        assert "Why? Enter goes to a step" in user.seen()
        assert "cleared the entry of p0 buf" in user.seen()
        await user.press("down", "enter")
        assert user.is_on(SandboxStage)
        assert user.stage.picture.position != end
        await user.press("W")
        assert "Why? Enter goes to a step" in user.seen()
