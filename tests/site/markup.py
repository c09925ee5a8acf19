"""What a browser with our content security policy would refuse, and what a page asks for."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit


class Markup(HTMLParser):
    """Reads one page: `refused`, `links` to other pages of ours, `assets`, `ids`."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.links: set[str] = set()
        self.assets: set[str] = set()
        self.ids: list[str] = []
        self._path = path
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self._judge(tag, known)
        if "id" in known:
            self.ids.append(known["id"])
        for name in ("href", "src"):
            if known.get(name):
                self._note(tag, known[name])

    def _judge(self, tag: str, known: dict[str, str]) -> None:
        if tag == "style" or (tag == "script" and "src" not in known):
            self.refused.append(f"<{tag}>")
        for name, value in known.items():
            if name == "style" or name.startswith(("on", "hx-on")) or value.startswith(("javascript:", "js:")):
                self.refused.append(f"<{tag} {name}={value!r}>")

    def _note(self, tag: str, reference: str) -> None:
        target = urljoin(self._path, reference)
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            if tag in {"script", "img", "use"} and parts.scheme != "data":
                self.refused.append(f"<{tag}> from {parts.netloc}")
        elif parts.path.startswith("/static/"):
            self.assets.add(target)
        elif tag == "a" and not parts.path.startswith(("/admin/", "/i18n/")):
            self.links.add(parts._replace(fragment="").geturl())
