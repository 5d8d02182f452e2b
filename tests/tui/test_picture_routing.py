"""Lines through a channel: whoever follows one with a finger arrives where it leads."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tui.views.picture.lines import PIECES
from tui.views.picture.routing import Channel, End, Net, left_edge

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
TURNS = {UP: (-1, 0), DOWN: (1, 0), LEFT: (0, -1), RIGHT: (0, 1)}
BACK = {UP: DOWN, DOWN: UP, LEFT: RIGHT, RIGHT: LEFT}
ROWS = 12


def net(nears: list[int], far: int, style: str = "light") -> Net:
    return Net([End(row, style, "plain", f"n{row}") for row in nears], [End(far, style, "plain", f"f{far}")])


@st.composite
def channels(draw: st.DrawFn) -> list[Net]:
    """Entries to frames: each row leads to one frame at most, each frame has one net."""
    leads = draw(st.dictionaries(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1), max_size=7))
    targets: dict[int, list[int]] = {}
    for near, far in leads.items():
        targets.setdefault(far, []).append(near)
    return [net(nears, far, draw(st.sampled_from(("light", "heavy")))) for far, nears in targets.items()]


def circular(nets: list[Net]) -> bool:
    """Whether two nets each leave the row where the other comes in, or a longer ring of this kind."""
    after = {
        number: {
            other
            for other, its in enumerate(nets)
            if other != number and {end.row for end in one.near} & {end.row for end in its.far}
        }
        for number, one in enumerate(nets)
    }
    bent = {number for number, one in enumerate(nets) if not one.straight}
    while bent:
        free = {number for number in bent if not any(number in after[other] for other in bent)}
        if not free:
            return True
        bent -= free
    return False


def arms_of(drawn: str) -> int:
    """The arms of a sign; an arrow head has its left one."""
    if drawn in "▶▷":
        return LEFT
    return next((arms for pieces in PIECES.values() for arms, piece in enumerate(pieces) if piece == drawn), 0)


def followed(grid: list[str], row: int) -> set[int]:
    """The rows of the far side at which a finger arrives that starts on the near side of a row."""
    width = len(grid[0])
    ends: set[int] = set()
    todo, done = [(row, 0, RIGHT)], set()
    while todo:
        at = todo.pop()
        if at in done:
            continue
        done.add(at)
        y, x, heading = at
        if x == width:
            ends.add(y)
            continue
        arms = arms_of(grid[y][x])
        crosses = heading in {UP, DOWN} and arms == LEFT | RIGHT
        if grid[y][x] in "▶▷":
            ends.add(y)
            continue
        ways = [heading] if crosses else [way for way in TURNS if arms & way and way != BACK[heading]]
        for way in ways:
            if way == LEFT:
                continue  # towards the near side: somebody else's beginning
            down, across = TURNS[way]
            todo.append((y + down, x + across, way))
    return ends


@settings(max_examples=300, deadline=None)
@given(channels())
def test_every_line_leads_where_it_should(nets: list[Net]) -> None:
    width = 2 * len(nets) + 4
    channel = Channel(width, ROWS)
    channel.draw(nets, PIECES, ("▶", "▷"))
    grid = ["".join(span.text for span in channel.spans(row)) for row in range(ROWS)]
    if circular(nets):
        return
    for one in nets:
        for near in one.near:
            assert followed(grid, near.row) == {end.row for end in one.far}, "\n".join(grid)


def test_a_line_that_leaves_a_row_turns_off_before_another_comes_in() -> None:
    leaving, coming = net([0], 3), net([4], 0)
    left_edge([coming, leaving])
    assert leaving.track < coming.track


def test_lines_that_do_not_overlap_share_a_track() -> None:
    upper, lower = net([0], 1), net([3], 4)
    assert left_edge([upper, lower]) == 1
    assert upper.track == lower.track == 0


def test_lines_that_come_into_one_row_from_both_sides_have_tracks_of_their_own() -> None:
    upper, lower = net([0], 2), net([4], 2)
    assert left_edge([upper, lower]) == 2
    assert upper.track != lower.track


def test_where_two_lines_cross_the_horizontal_one_stays_whole() -> None:
    channel = Channel(9, 3)
    channel.draw([net([0], 2), net([1], 1)], PIECES, ("▶", "▷"))
    assert channel.spans(1)[0].text.startswith("────────")


def test_each_piece_of_a_row_stands_for_the_thing_that_it_leads_to() -> None:
    """Lines of one colour beside each other: the cursor must not take two things for one."""
    channel = Channel(9, 3)
    channel.draw([net([0], 2), net([1], 1)], PIECES, ("▶", "▷"))
    assert [[span.subject for span in channel.spans(row) if span.subject] for row in (0, 2)] == [["n0", "f2"], ["f2"]]
