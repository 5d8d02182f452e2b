"""The glossary: short, in order, and the same on the screen as in the document."""

from docs.parts import ROOT
from lessons.learner.progress import Store
from tests.tui.sandboxes import driver_of
from tests.tui.user import at
from tui.screens.stage import Stage
from tui.views.glossary import GLOSSARY


def test_every_term_is_one_line_and_found_where_one_looks_for_it() -> None:
    names = [term.name.lower() for term in GLOSSARY]
    assert names == sorted(set(names))
    for term in GLOSSARY:
        assert len(term.meaning) <= 110, term.name
        assert term.meaning.endswith("."), term.name


def test_the_document_has_every_term() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert all(f"| {term.name} | {term.meaning} |" in text for term in GLOSSARY)


async def test_g_opens_and_closes_it_and_home_still_leads_to_the_start(store: Store) -> None:
    driver = driver_of("process p0", "process p1")
    async with at(store, driver) as user:
        await user.press("g")
        assert "include/linux/fs.h: struct address_space" in user.seen()
        await user.press("g")
        assert isinstance(user.screen, Stage)
        await user.press("home")
        assert driver.session.node.depth == 0


async def test_g_opens_it_at_home_too_and_space_opens_what_the_cursor_is_on(store: Store) -> None:
    async with at(store) as user:
        await user.press("g")
        assert "include/linux/fs.h: struct address_space" in user.seen()
        await user.press("g", "space")
        assert isinstance(user.screen, Stage)
        await user.press("full_stop")
        assert isinstance(user.screen, Stage), "the cursor goes to where an answer is typed, and nothing opens yet"
