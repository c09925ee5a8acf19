"""Collect the texts of all pages into the Chinese catalogue, and compile it. Collecting needs GNU gettext."""

from __future__ import annotations

import io
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from babel.messages import mofile, pofile
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.core.management.commands import makemessages

CATALOGUE = Path("routerone/locale/zh_Hans/LC_MESSAGES/django.po")


class Collector(makemessages.Command):
    """Knows the short names too under which our modules import the functions."""

    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=_lazy"]


class Command(BaseCommand):
    help = "Collect all texts into the Chinese catalogue, list those without a translation, compile the catalogue."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--compile", action="store_true", help="only compile: needs no GNU gettext")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / CATALOGUE
        if not options["compile"]:
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
        for text in untranslated(path):
            self.stdout.write(f"not translated: {text!r}")
        path.with_suffix(".mo").write_bytes(compiled(path))


def untranslated(path: Path) -> list[str]:
    """The texts whose Chinese is missing or only guessed by the tools."""
    with path.open("rb") as file:
        catalogue = pofile.read_po(file, locale="zh_Hans")
    return [_first(one.id) for one in catalogue if one.id and (one.fuzzy or not all(_forms(one.string)))]


def compiled(path: Path) -> bytes:
    """The binary form of a catalogue: the same bytes for the same texts."""
    with path.open("rb") as file:
        catalogue = pofile.read_po(file, locale="zh_Hans")
    out = io.BytesIO()
    mofile.write_mo(out, catalogue)
    return out.getvalue()


def _forms(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def _first(text: str | tuple[str, ...] | list[str]) -> str:
    return _forms(text)[0]
