"""What the tests of copied deals share: a mapping with its example of pushing deals in use."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(r"^  deals:\n(?:(?:    .*)?\n)+?(?=^  \S)", re.MULTILINE)
_EXAMPLE = re.compile(r"^  # deals:\n(?:  #.*\n)+", re.MULTILINE)


def push_deals(file: Path, **replaced: str) -> None:
    """Put the commented example of the ready mapping in `file` in place of its `deals`. `replaced` are texts of the
    example that are to be others, by a name that says nothing: old=>new."""
    text = file.read_text()
    [example] = _EXAMPLE.findall(text)
    used = "".join(line.replace("  # ", "  ", 1) + "\n" for line in example.splitlines())
    for change in replaced.values():
        old, _, new = change.partition("=>")
        assert old in used, old
        used = used.replace(old, new)
    changed, number = _BLOCK.subn(lambda found: used + "\n", text.replace(example, ""), count=1)
    assert number == 1
    file.write_text(changed)
