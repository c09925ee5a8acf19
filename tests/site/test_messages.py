"""The Chinese catalogue is complete, whole and compiled. Nothing here needs GNU gettext."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages import pofile
from django.conf import settings
from django.utils.translation.template import templatize

from routerone.management.commands.messages import CATALOGUE, compiled, untranslated

ROOT = Path(settings.BASE_DIR)
PO = ROOT / CATALOGUE
FUNCTIONS = {"_", "_lazy", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
WITH_CONTEXT = {"pgettext", "pgettext_lazy"}
TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
IN_TEMPLATE = re.compile(rf"\b(p?n?p?gettext|_)\(\s*({TEXT}(?:\s*,\s*{TEXT})*)")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|</?\w+|\bhref=\"[^\"]*\"")


def test_every_text_has_a_translation_of_its_own() -> None:
    assert untranslated(PO) == []


def test_the_compiled_catalogue_is_that_of_the_texts() -> None:
    assert PO.with_suffix(".mo").read_bytes() == compiled(PO), "run: manage.py messages --compile"


def test_every_text_of_the_code_and_the_templates_is_in_the_catalogue() -> None:
    with PO.open("rb") as file:
        known = {one.id if isinstance(one.id, str) else one.id[0] for one in pofile.read_po(file, locale="zh_Hans")}
    found = set(_texts())
    assert len(found) > 200
    assert sorted(found - known) == [], "run: manage.py messages"


def test_a_translation_keeps_the_values_and_the_markup_of_its_text() -> None:
    with PO.open("rb") as file:
        entries = [one for one in pofile.read_po(file, locale="zh_Hans") if one.id]
    for one in entries:
        last = one.id if isinstance(one.id, str) else one.id[-1]
        chinese = one.string if isinstance(one.string, str) else one.string[0]
        assert sorted(PLACEHOLDER.findall(chinese)) == sorted(PLACEHOLDER.findall(last)), last


def test_chinese_has_no_narrow_punctuation_between_its_signs() -> None:
    with PO.open("rb") as file:
        entries = [one for one in pofile.read_po(file, locale="zh_Hans") if one.id]
    for one in entries:
        chinese = one.string if isinstance(one.string, str) else one.string[0]
        assert not re.search(r"[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(?!\w)", chinese), chinese


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
