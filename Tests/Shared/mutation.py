# A copy of the sources below .build, in which mistakes are made on purpose, one at a time.
import contextlib
import os

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


class Copy:
    def __init__(self, name, *parts):
        self.folder = os.path.join(ROOT, ".build", name)
        for part in parts:
            source = os.path.join(ROOT, part)
            files = [os.path.join(folder, x) for folder, _, names in os.walk(source) for x in names]
            for file in files or [source]:
                there = self.path(os.path.relpath(file, ROOT))
                os.makedirs(os.path.dirname(there), exist_ok=True)
                put(there, read(file))
                os.chmod(there, os.stat(file).st_mode)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    @contextlib.contextmanager
    def mistake(self, file, old, new):
        """In a file below Sources; false where it does not apply any more."""
        path = self.path("Sources", file)
        text = read(path)
        if text.count(old) != 1:
            yield False
            return
        put(path, text.replace(old, new))
        try:
            yield True
        finally:
            put(path, text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def put(path, text):
    """Only what has changed is written, and compiled again."""
    if os.path.exists(path) and read(path) == text:
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
