"""What the pages say, in the server's language."""

from html import escape
from typing import Final

from lessons.i18n.language import chosen, tr

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self' ws: wss:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The browser itself sees to it that nothing is fetched from elsewhere."""


def page(title: str, body: str, *, scripts: tuple[str, ...] = (), data: str = "", kind: str = "") -> str:
    """A page. `data`: JSON for its scripts."""
    loaded = "".join(f'<script src="{script}"></script>\n' for script in scripts)
    given = f" data-texts='{escape(data)}'" if data else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{chosen().code}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        '<link rel="icon" href="data:,">\n<link rel="stylesheet" href="/static/css/xterm.css">\n'
        f'<link rel="stylesheet" href="/pages/style.css">\n</head>\n<body class="{kind}"{given}>\n{body}\n{loaded}'
        "</body>\n</html>\n"
    )


def terminal_texts() -> dict[str, str]:
    """What the terminal's page says when its connection is gone."""
    return {
        "ended": tr("The session has ended. What you did is kept."),
        "elsewhere": tr("This session is open in another window."),
        "full": tr("All places are taken. Try again in a minute, or ask your teacher."),
        "back": tr("The connection is gone; it comes back by itself."),
    }


def room_texts() -> dict[str, str]:
    """What a student's page says by itself."""
    return {
        "back": tr("The connection is gone; it comes back by itself."),
        "vote": tr("Vote"),
        "voted": tr("Your vote is in; you may change it."),
        "again": tr("Vote again: has your neighbour convinced you?"),
        "number": tr("a number"),
    }


def header(name: str, here: str) -> str:
    """Who one is, and the three things that there are to do in a room."""
    tabs = (("/", tr("Follow"), "follow"), ("/app", tr("My own way"), "own"))
    links = "".join(
        f'<a class="tab{" here" if key == here else ""}" href="{target}">{escape(text)}</a>'
        for target, text, key in tabs
    )
    hand_in = f'<button id="hand-in" type="button">{escape(tr("Hand in"))}</button>' if here == "follow" else ""
    return f'<header><b>{escape(name)}</b>{links}<span class="grow"></span>{hand_in}</header>'


def joining(word: str = "", name: str = "") -> str:
    """The page on which one joins."""
    return page(
        "ptescope",
        '<form class="join" method="post" action="/join">'
        f"<h1>ptescope</h1><label>{escape(tr('Your name'))}<br>"
        f'<input name="name" required maxlength="40" autofocus value="{escape(name)}"></label>'
        f"<label>{escape(tr('A word of your own, to come back from another device'))}<br>"
        f'<input name="word" maxlength="40" autocomplete="off"></label>'
        f'<button class="go">{escape(tr("Join"))}</button><p class="word" role="alert">{escape(word)}</p></form>',
    )
