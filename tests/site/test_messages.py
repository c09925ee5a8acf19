"""The Chinese catalogue is complete, whole and compiled. Nothing here needs GNU gettext."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils.translation.template import templatize

from routerone.management.commands.messages import CATALOGUE, HEADER, TYPED_GAP, compiled, entries, problems

ROOT = Path(settings.BASE_DIR)
PO = ROOT / CATALOGUE
FUNCTIONS = {"_", "_lazy", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
WITH_CONTEXT = {"pgettext", "pgettext_lazy"}
TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
IN_TEMPLATE = re.compile(rf"\b(p?n?p?gettext|_)\(\s*({TEXT}(?:\s*,\s*{TEXT})*)")
HAN = r"[\u4e00-\u9fff]"
NARROW = re.compile(rf"{HAN}[,;:!?]|{HAN}\.(?!\w)")


def test_the_catalogue_is_complete_and_compiled() -> None:
    assert problems(PO) == []
    call_command("messages", check=True)


def test_every_text_of_the_code_and_the_templates_is_in_the_catalogue() -> None:
    known = {one.id if isinstance(one.id, str) else one.id[0] for one in entries(PO)}
    found = set(_texts())
    assert len(found) > 200
    assert sorted(found - known) == [], "run: manage.py messages"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('msgid "Save"\nmsgstr ""', "not translated: 'Save'"),
        ('#, fuzzy\nmsgid "Save"\nmsgstr "保存"', "not translated: 'Save'"),
        ('msgid "%(n)s keys"\nmsgstr "%(m)s个密钥"', "placeholders or markup differ: '%(n)s keys'"),
        ('msgid "a"\nmsgid_plural "%(n)s keys"\nmsgstr[0] "密钥"', "placeholders or markup differ: '%(n)s keys'"),
        ('msgid "See <a href=\\"/a\\">a</a>"\nmsgstr "见 a"', "placeholders or markup differ"),
    ],
)
def test_what_is_missing_or_altered_is_found(tmp_path: Path, entry: str, problem: str) -> None:
    found = problems(_catalogue(tmp_path, entry))
    assert len(found) == 1 and found[0].startswith(problem)


def test_a_compiled_catalogue_of_other_texts_is_found(tmp_path: Path) -> None:
    path = _catalogue(tmp_path, 'msgid "Save"\nmsgstr "保存"')
    assert problems(path) == []
    path.write_text(path.read_text(encoding="utf-8").replace("保存", "存"), encoding="utf-8")
    assert [one for one in problems(path) if "manage.py messages --compile" in one]
    path.with_suffix(".mo").unlink()
    assert [one for one in problems(path) if "manage.py messages --compile" in one]


def test_the_catalogue_names_no_day_person_or_line() -> None:
    text = PO.read_text(encoding="utf-8")
    assert not re.search(r"^\"(POT-Creation|PO-Revision|Last-Translator|Generated-By)", text, re.MULTILINE)
    assert not re.search(r"^#: .*:\d", text, re.MULTILINE)


def test_chinese_is_set_as_chinese() -> None:
    """Full-width punctuation; the gap between Han and Latin is the style sheet's."""
    for one in entries(PO):
        chinese = one.string if isinstance(one.string, str) else one.string[0]
        assert not NARROW.search(chinese), chinese
        assert not TYPED_GAP.search(chinese), chinese


def _catalogue(folder: Path, entry: str) -> Path:
    path = folder / "django.po"
    header = "".join(f'"{line}\\n"\n' for line in HEADER.splitlines())
    path.write_text(f'msgid ""\nmsgstr ""\n{header}\n{entry}\n', encoding="utf-8")
    path.with_suffix(".mo").write_bytes(compiled(path))
    return path


def _texts() -> Iterator[str]:
    for app in ("accounts", "billing", "gateway", "observability", "routerone", "routing"):
        for path in (ROOT / app).rglob("*.py"):
            yield from _python_texts(ast.parse(path.read_text()))
    for path in (ROOT / "templates").rglob("*.html"):
        for name, arguments in IN_TEMPLATE.findall(templatize(path.read_text())):
            texts = ast.literal_eval(f"({arguments},)")
            yield texts[1] if name.startswith(("p", "np")) else texts[0]


def _python_texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        position = 0 if node.func.id in FUNCTIONS else 1 if node.func.id in WITH_CONTEXT else None
        if position is None or len(node.args) <= position:
            continue
        text = node.args[position]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value
