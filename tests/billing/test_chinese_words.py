"""Chinese pages use the words of the glossary."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from routerone.management.commands.messages import CATALOGUE, entries

ROOT = Path(settings.BASE_DIR)
HAN = re.compile(r"[\u4e00-\u9fff]+")


def words() -> tuple[set[str], set[str]]:
    """The Chinese words of the glossary: those that are said, and those that are not."""
    said, avoided = set(), set()
    for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4:
            said.update(HAN.findall(cells[2]))
            avoided.update(HAN.findall(cells[3]))
    return said, avoided


def test_no_page_says_what_the_glossary_does_not() -> None:
    said, avoided = words()
    assert {"账单明细", "标价", "预扣", "钱包"} <= said
    assert {"收据", "目录价", "预留"} <= avoided
    texts = [str(one.string) for one in entries(ROOT / CATALOGUE)]
    assert [text for text in texts for word in avoided if word in text] == []
    assert [word for word in ("账单明细", "标价", "预扣") if not any(word in text for text in texts)] == []
