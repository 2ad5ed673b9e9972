"""A parser of reports that refuses incomplete pages and references to other files."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "hr"}
OUTSIDE = {"script", "link", "iframe", "img", "object", "embed", "base", "form", "video", "audio", "source"}
ADDRESSES = {"src", "srcset", "action", "data", "poster", "background", "xlink:href"}


class Page(HTMLParser):
    """The text of a page by section, after checks of its tags, ids and references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.texts: dict[str, str] = {"": ""}
        self.section = ""
        self.feed(text)
        self.close()
        assert self.stack == []
        assert len(self.ids) == len(set(self.ids))
        assert set(self.targets) <= set(self.ids)
        assert "http" not in "".join(part for part in self.texts[""].split() if part.startswith("url("))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), attrs
        assert tag not in OUTSIDE, tag
        assert not ADDRESSES & given.keys(), attrs
        assert not [name for name in given if name.startswith("on")], attrs
        if "href" in given:
            assert str(given["href"]).startswith("#")
            self.targets.append(str(given["href"])[1:])
        for value in given.values():
            self.targets += [part.partition(")")[0] for part in str(value).split("url(#")[1:]]
            assert "url(" not in str(value).replace("url(#", "")
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "section":
            self.section = str(given["id"])
            self.texts[self.section] = ""
        self.tags.append(tag)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.texts[self.section] += data
