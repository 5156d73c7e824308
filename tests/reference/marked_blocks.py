"""What the pages of the documentation show: fenced blocks below a comment `<!-- test: NAME -->`."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(r"^<!-- test: ([\w-]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def marked_blocks(page):
    """Language and code of every marked block of a page, by name."""
    text = (ROOT / page).read_text("utf-8")
    return {name: (language, code) for name, language, code in MARKED.findall(text)}


def marked_block(page, name, language="python"):
    """The code of a block."""
    assert name in marked_blocks(page), f"{page} has no block below <!-- test: {name} -->"
    assert marked_blocks(page)[name][0] == language
    return marked_blocks(page)[name][1]


MARKED_PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    if "<!-- test: " in path.read_text("utf-8")
)
