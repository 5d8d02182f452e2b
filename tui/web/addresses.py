"""Under which addresses browsers reach this machine, and which of them are believed.

A page of somebody else's must not talk to a program on this machine: a request is answered only under a name that
this machine has (else a name could be pointed at it from outside, DNS rebinding), and what changes something must come
from a page that was served under that same name.
"""

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from urllib.parse import urlsplit

LOOPBACK = frozenset(("localhost", "localhost.localdomain"))


def lan_address() -> str:
    """The address of this machine in the network that it is in; empty if there is none. Nothing is sent."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # an address for documentation: no route to it is ever used
        found = str(probe.getsockname()[0])
        return "" if ipaddress.ip_address(found).is_loopback else found
    return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine itself reaches an address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() in LOOPBACK


def name_of(host: str) -> str:
    """The name or address in a `Host` header, without the port; empty if it is none.

    >>> name_of("localhost:8000"), name_of("[::1]:8000"), name_of("10.0.0.7"), name_of("a b")
    ('localhost', '::1', '10.0.0.7', '')
    """
    try:
        return (urlsplit(f"//{host}").hostname or "") if " " not in host else ""
    except ValueError:
        return ""


def is_ours(host: str, more: Iterable[str] = ()) -> bool:
    """Whether a request may name this machine so: an address, this machine's name, or one that was allowed."""
    name = name_of(host)
    if not name:
        return False
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    mine = {*LOOPBACK, socket.gethostname().lower(), socket.getfqdn().lower()}
    mine |= {f"{each}.local" for each in mine}
    return name in mine or name in {each.lower() for each in more}


def same_origin(origin: str, host: str, public: str = "") -> bool:
    """Whether a page that was served under `host` sent this.

    >>> same_origin("http://10.0.0.7:8000", "10.0.0.7:8000"), same_origin("http://evil.example", "10.0.0.7:8000")
    (True, False)
    """
    if not origin:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.netloc.lower() in {host.lower(), urlsplit(public).netloc.lower()} - {""}


def qr_code(text: str) -> str:
    """A text as a QR code for a terminal; empty where the library is not installed."""
    try:
        import segno
    except ImportError:
        return ""
    out = StringIO()
    segno.make(text, error="m").terminal(out, compact=True, border=2)
    return out.getvalue()
