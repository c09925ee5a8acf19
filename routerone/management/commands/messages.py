"""Collect the texts of all pages into the Chinese catalogue, and compile it. Collecting needs GNU gettext."""

from __future__ import annotations

import io
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message, mofile, pofile
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.management.commands import makemessages

CATALOGUE = Path("routerone/locale/zh_Hans/LC_MESSAGES/django.po")
# Only what a reader of the catalogue needs: dates, names and versions of tools would change with every run.
HEADER = "Language: zh_Hans\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n"
_NOISE = re.compile(
    r'^"(?:POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Report-Msgid-Bugs-To|Project-Id-Version'
    r'|Generated-By): .*"\n|^# \| .*\n',
    re.MULTILINE,
)
_TRANSLATION = re.compile(r"^msgstr.*$", re.MULTILINE)
_HAN = r"[\u4e00-\u9fff]"
# The style sheet makes the gap between Han and Latin (text-autospace); only this one term is written with it.
TYPED_GAP = re.compile(rf"(?<={_HAN}) (?!API 密钥)(?=/?\w|[%<$])|(?<!API)(?<=[A-Za-z0-9>%-]) (?={_HAN})", re.ASCII)
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|</?\w+|\bhref=\"[^\"]*\"")


class Collector(makemessages.Command):
    """Knows the short names too under which our modules import the functions."""

    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=_lazy"]


class PlainCatalog(Catalog):
    """Its compiled form depends on the texts alone: neither on the day nor on the version of Babel."""

    def __iter__(self) -> Iterator[Message]:
        for one in super().__iter__():
            yield one if one.id else Message("", string=HEADER)


class Command(BaseCommand):
    help = "Collect all texts into the Chinese catalogue, list those without a translation, compile the catalogue."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--compile", action="store_true", help="only compile: needs no GNU gettext")
        only.add_argument("--check", action="store_true", help="change nothing; fail where something is missing")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / CATALOGUE
        if options["check"]:
            if found := problems(path):
                raise CommandError("\n".join(found))
            return
        if not options["compile"]:
            collect(path)
        for text in untranslated(path):
            self.stdout.write(f"not translated: {text!r}")
        path.with_suffix(".mo").write_bytes(compiled(path))


def collect(path: Path) -> None:
    call_command(
        Collector(),
        locale=["zh_Hans"],
        extensions=["html", "txt", "py"],
        ignore_patterns=[".*", "tests/*", "bench/*", "staticfiles/*"],
        no_obsolete=True,
        no_wrap=True,
        add_location="file",
        verbosity=0,
    )
    text = _NOISE.sub("", path.read_text(encoding="utf-8"))
    text = _TRANSLATION.sub(lambda one: TYPED_GAP.sub("", one[0]), text)
    path.write_text(text, encoding="utf-8")


def problems(path: Path) -> list[str]:
    """What keeps the catalogue from being used, in words; empty where all is well."""
    found = [f"not translated: {text!r}" for text in untranslated(path)]
    found += [f"placeholders or markup differ: {text!r}" for text in altered(path)]
    binary = path.with_suffix(".mo")
    if not binary.exists() or binary.read_bytes() != compiled(path):
        found.append("the compiled catalogue is not that of the texts; run: manage.py messages --compile")
    return found


def untranslated(path: Path) -> list[str]:
    """The texts whose Chinese is missing or only guessed by the tools."""
    return [_forms(one.id)[0] for one in entries(path) if one.fuzzy or not (one.string and all(_forms(one.string)))]


def altered(path: Path) -> list[str]:
    """The texts whose Chinese has other values or markup in it."""
    pairs = [(_forms(one.id)[-1], form) for one in entries(path) for form in _forms(one.string or "") if form]
    return [text for text, chinese in pairs if _placeholders(text) != _placeholders(chinese)]


def entries(path: Path) -> list[Message]:
    with path.open("rb") as file:
        return [one for one in pofile.read_po(file, locale="zh_Hans") if one.id]


def compiled(path: Path) -> bytes:
    """The binary form of a catalogue: the same bytes for the same texts."""
    catalogue = PlainCatalog(locale="zh_Hans")
    for one in entries(path):
        catalogue[one.id] = one
    out = io.BytesIO()
    mofile.write_mo(out, catalogue)
    return out.getvalue()


def _placeholders(text: str) -> list[str]:
    return sorted(_PLACEHOLDER.findall(text))


def _forms(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)
