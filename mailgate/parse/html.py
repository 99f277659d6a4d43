"""HTML to text: block structure becomes lines; what mail programs mark as quoted stands apart."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mailgate.saying import Saying

MAX_HTML = 2 * 1024 * 1024
"""Characters of HTML that are read."""

_MAX_NODES = 300_000
# Of what is quoted so many are looked at: nothing in it counts.
_MAX_QUOTED = 30_000
_TOO_LONG = Saying("damage/html-cut")
_TANGLED = Saying("damage/html-tangled")

_UNSEEN = frozenset({"script", "style", "head", "title", "template", "noscript", "-comment"})
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre", "table"})
_BLOCKS = _PARAGRAPHS | frozenset(
    """address article aside blockquote body center dd details dialog dir div dt fieldset figcaption
    figure footer form header hr html legend li main menu nav section summary tbody tfoot thead tr
    """.split()
)
_MARKED = frozenset({"div", "span", "p", "table", "td", "section", "hr", "article", "footer"})

_QUOTE_CLASS = re.compile(
    r"(?:^|\s)(?:x_)*(?:gmail_quote|gmail_quote_container|gmail_attr|gmail_signature|yahoo_quoted"
    r"|ymail_quoted|moz-cite-prefix|moz-signature|moz-forward-container|protonmail_quote"
    r"|protonmail_signature_block|zmail_extra|tutanota_quote|OutlookMessageHeader|mail_quote"
    r"|freebirdQuote|cite|ydp\w{0,20}yahoo_quoted|ms-outlook-mobile-reference-message|airmail_on"
    r"|front-blockquote|cm_quote|edo-quote|quote)(?:$|\s)"
)
_QUOTE_ID = re.compile(
    r"(?:x_)*(?:mail-editor-reference-message-container|OLK_SRC_BODY_SECTION|orig_message"
    r"|isForwardContent|oriMsgHtmlSeperator|Signature|yahoo_quoted_\d+|ymail_android_signature"
    r"|AppleMailSignature|_originalContent|isReplyContent|ydp\w{0,20}yahoo_quoted_\d+)"
)
# Behind these the rest of the document is the original.
_LAST_ID = re.compile(
    r"(?:x_)*(?:divRplyFwdMsg|appendonsend|stopSpelling|reply-intro|replySplit|zwchr)"
)
_QUOTE_NAME = frozenset({"quote", "quoted-content", "messageReplySection"})
# Most draw a line along what they quote, and Outlook one above the header of the original.
_LINE_BESIDE = re.compile(
    r"(?:^|;)\s*border-left\s*:(?=[^;]{0,60}\b(?:solid|dotted|dashed))(?![^;]{0,60}\bnone)",
    re.IGNORECASE,
)
_LINE_ABOVE = re.compile(
    r"border\s*:\s*none\s*;\s*border-top\s*:\s*solid\s[^;]{1,40};\s*padding\s*:\s*3(?:\.0)?pt 0",
    re.IGNORECASE,
)
_OWA_RULE = re.compile(r"display:\s*inline-block;\s*width:\s*98%")
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|mso-hide\s*:\s*all)", re.IGNORECASE)
_NO_MARGIN = re.compile(r"(?:^|;)\s*margin(?:-top|-bottom)?\s*:\s*0", re.IGNORECASE)
_OUTLOOK_LINE = re.compile(r"(?:^|\s)(?:x_)*Mso(?:Normal|PlainText|ListParagraph)(?:$|\s)")
_SPACES = re.compile(r"[ \t\n\r\f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The text of a page as lines joined by LF; ``damage`` is what is wrong with it.

    ``quoted``: lines of what is marked as quoted, or as a signature, as far as it was looked at.
    """

    text: str
    quoted: tuple[str, ...] = ()
    damage: Saying | None = None


def to_text(html: str) -> Text:
    """Read a page. Tables become a line for each row, lists a line for each item.

    ``pre`` stays as it is. Hidden parts are left out.
    """
    if _is_tangled(html[:MAX_HTML]):
        return Text(text="", damage=_TANGLED)
    page = _Page(_MAX_NODES)
    complete = page.read(LexborHTMLParser(html[:MAX_HTML]).root) and len(html) <= MAX_HTML
    damage = None if complete else _TOO_LONG
    return Text(text=page.text(), quoted=tuple(page.quoted), damage=damage)


# --- what would take the parser too long ----------------------------------------------------------

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_NEVER_OPEN = frozenset(
    """area base br col embed hr img input link meta param source track wbr html head body
    p li dd dt td th tr tbody thead tfoot option""".split()
)
_MAX_STEPS = 20_000_000
_MAX_COPIES = 1_000_000


def _is_tangled(html: str) -> bool:
    """Whether the parser's time or memory would be quadratic (HTML, 13.2.4.3 and 13.2.6.1).

    It walks up all open elements at many tags, and copies unclosed formatting elements into every
    new block. Counted here without a tree, in one pass.
    """
    depth = formatting = steps = copies = 0
    for closing, name in _TAG.findall(html):
        tag = name.lower()
        change = -1 if closing else 1
        if tag in _FORMATTING:
            formatting = max(0, formatting + change)
        if tag not in _NEVER_OPEN:
            depth = max(0, depth + change)
        steps += depth
        copies += formatting
    return steps > _MAX_STEPS or copies > _MAX_COPIES


# --- the walk -------------------------------------------------------------------------------------


class _Page:
    """A page that is read; with ``whole`` also what is marked as quoted in it."""

    def __init__(self, nodes: int, *, whole: bool = False) -> None:
        self.quoted: list[str] = []
        self._left = nodes
        self._whole = whole
        self._quotable = _MAX_QUOTED
        self._lines: list[str] = []
        self._current: list[str] = []
        self._blank_wanted = False
        self._pre = 0
        self._over = False

    def read(self, first: LexborNode | None, *, within: bool = True) -> bool:
        """Walk the tree from a node on, ``within`` it or to the document's end.

        Without recursion; False if there are too many nodes.
        """
        node, end = first, first.mem_id if within and first is not None else None
        while node is not None and not self._over:
            self._left -= 1
            if self._left <= 0:
                return False
            below = node.first_child if self._enter(node) else None
            node = below or self._onward(node, end)
        return True

    def _quote(self, node: LexborNode) -> None:
        """Take what is quoted: in the node, or from it on where all the rest is the original."""
        page = _Page(self._quotable, whole=True)
        page.read(node, within=not self._over)
        self._quotable = page._left
        self.quoted += page.text().split("\n")

    def text(self) -> str:
        self._flush()
        return "\n".join(self._lines)

    def _onward(self, node: LexborNode, end: int | None) -> LexborNode | None:
        """Leave ``node`` and every parent that ends with it; the next node before the ``end``."""
        here: LexborNode | None = node
        while here is not None:
            self._leave(here)
            if here.mem_id == end:
                return None
            following = here.next
            if following is not None:
                return following
            here = here.parent
        return None

    def _enter(self, node: LexborNode) -> bool:
        """Take what ``node`` says; whether what is inside it counts."""
        tag = node.tag
        if tag == "-text":
            self._take(node.text_content or "")
            return False
        if tag == "br":
            self._break()
        attributes = node.attributes if tag in _MARKED else {}
        if not self._whole and (tag == "blockquote" or self._is_marked(tag, attributes)):
            self._quote(node)
            return False
        if tag in _UNSEEN or _is_hidden(attributes):
            return False
        if tag in _BLOCKS:
            self._flush()
        if tag in _PARAGRAPHS and not self._is_close_set(node):
            self._blank_wanted = True
        self._pre += tag == "pre"
        return True

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag
        if tag in _BLOCKS:
            self._flush()
            if tag in _PARAGRAPHS and not self._is_close_set(node):
                self._blank_wanted = True
        elif tag in {"td", "th"}:
            self._current.append(" ")
        if tag == "pre":
            # Of one that was entered before what is quoted it is none.
            self._pre = max(self._pre - 1, 0)

    def _is_marked(self, tag: str | None, attributes: Mapping[str, str | None]) -> bool:
        """Whether a mail program marked it as quoted, or as a signature."""
        name, style = attributes.get("id") or "", attributes.get("style") or ""
        if (
            _LAST_ID.fullmatch(name)
            or (style and _LINE_ABOVE.search(style))
            or (tag == "hr" and _OWA_RULE.search(style))
        ):
            self._over = True
        return bool(
            self._over
            or _QUOTE_ID.fullmatch(name)
            or _QUOTE_CLASS.search(attributes.get("class") or "")
            or attributes.get("name") in _QUOTE_NAME
            or (style and _LINE_BESIDE.search(style))
        )

    @staticmethod
    def _is_close_set(node: LexborNode) -> bool:
        """Whether no blank line sets a paragraph off: Outlook writes every line as one."""
        if node.tag != "p":
            return False
        attributes = node.attributes
        style, kind = attributes.get("style") or "", attributes.get("class") or ""
        return bool(_NO_MARGIN.search(style) or _OUTLOOK_LINE.search(kind))

    def _take(self, text: str) -> None:
        if not self._pre:
            self._current.append(text)
            return
        first, *others = text.replace("\r\n", "\n").split("\n")
        self._current.append(first)
        for line in others:
            self._break()
            self._current.append(line)

    def _break(self) -> None:
        if not self._flush():
            self._lines.append("")

    def _flush(self) -> bool:
        """End the current line; False if there was none. A line of hard blanks is a blank line."""
        text = "".join(self._current)
        self._current = []
        if not self._pre:
            text = _SPACES.sub(" ", text).strip(" ")
        if not text:
            return False
        if self._blank_wanted and self._lines and self._lines[-1]:
            self._lines.append("")
        self._blank_wanted = False
        self._lines.append(text.replace("\u00a0", " ").rstrip())
        return True


def _is_hidden(attributes: Mapping[str, str | None]) -> bool:
    """Whether nobody is to see it."""
    style = attributes.get("style")
    return "hidden" in attributes or bool(style and _HIDDEN.search(style))
