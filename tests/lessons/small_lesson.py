"""A lesson that is as small as a lesson can be, and complete: the tests damage it in one place at a time."""

from lessons.file.loader import parse
from lessons.file.schema import Lesson

WORLDS = {
    "page": "process p0\nmmap p0 buf anon private rw 2\nwrite p0 buf 65\n",
    "empty": "process p0\n",
}

TEXT = """\
+++
format = 1
id = "small"
title = "A small lesson"
part = "What is mapped"
order = 1
minutes = 5
summary = "One page."
rule = "A page is a page."
read = ["mm/memory.c: zap_pte_range"]
+++

~~~world page
~~~

Process `p0` has a page.

~~~predict
id = "count"
kind = "number"
ask = "Its refcount is {refcount p0 buf}. After another page is written?"
answer = "refcount p0 buf"
otherwise = "It stays as it is."

[[wrong]]
is = 2
reply = "That is another page."
~~~
~~~hint
where: Look at the frame.
what: Who holds it?
next: Only the PTE.
show: 1.
~~~

~~~do by=procedure
write p0 buf+1 66
  store_byte: The byte arrives in frame {frame p0 buf+1}.
read p0 buf+1
~~~

~~~predict
id = "where"
kind = "choice"
ask = "What does a read of buf give?"
reveal = "now"

[[option]]
text = "65"
when = "content p0 buf 65"

[[option]]
text = "66"
when = "content p0 buf 66"
reply = "That is in the other page."
~~~
~~~hint
where: The first page.
what: What was written there?
next: Look at the world.
show: 65.
~~~

Now you.

~~~goal id=gone
expect absent p0 buf     # the first page is gone
expect present p0 buf+1  # the second is there
~~~
~~~solution
madvise p0 buf+0 dontneed
~~~
~~~hint
where: The PTE.
what: Take it away.
~~~

~~~after
That was all.
~~~
"""


def small(old: str = "", new: str = "", *, worlds: dict[str, str] = WORLDS) -> Lesson:
    """The small lesson with one thing in it replaced."""
    assert old in TEXT, f"the small lesson has no {old!r}"
    return parse(TEXT.replace(old, new, 1) if old else TEXT, "small.md", worlds)


def line_of(text: str) -> int:
    """The line of the small lesson at which a text begins."""
    return TEXT[: TEXT.index(text)].count("\n") + 1
