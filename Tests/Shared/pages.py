# Puts what was measured or found into the repository's pages, README.md's between two marks.
import os

import harness


def write(file, text):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w", encoding="utf-8") as out:
        out.write(text)


def between_marks(page, marks, text):
    """The page with `text` between the marks, which stay."""
    begin, end = marks
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"README.md must have {begin} and {end} once each")
    head, rest = page.split(begin)
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}"


def write_between(marks, text):
    page = between_marks(harness.text_of("README.md"), marks, text)
    write(harness.path("README.md"), page)
