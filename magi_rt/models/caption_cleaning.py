"""Caption cleaning: the normal form that the text encoder was trained on (MAGI-1 reference).

The rules come from captions scraped off the web, hence the odd company of addresses, shop talk and
file names. Their order and their quirks are part of the published model: what one rule leaves
behind decides what the next one sees, so none of them may be "improved".
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote_plus

Rule = tuple[re.Pattern[str], str]


def _rules(*pairs: tuple[str, str]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


FILE_KINDS = "png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4"
DASHES = (
    "\\u002d\\u058a\\u05be\\u1400\\u1806\\u2010-\\u2015\\u2e17\\u2e1a\\u2e3a\\u2e3b\\u2e40"
    "\\u301c\\u3030\\u30a0\\ufe31\\ufe32\\ufe58\\ufe63\\uff0d"
)
EAST_ASIAN = (
    "\\u31c0-\\u31ef\\u31f0-\\u31ff\\u3200-\\u32ff\\u3300-\\u33ff\\u3400-\\u4dbf"
    "\\u4dc0-\\u4dff\\u4e00-\\u9fff"
)
PUNCTUATION = (
    "#\u00ae\u2022\u00a9\u2122&@\u00b7\u00ba\u00bd\u00be\u00bf\u00a1\u00a7~"
    r"()\[\]{}|\\/*"
)
# A scheme goes alone; what follows it only goes when it is a known kind of host name.
HOST = r"[a-zA-Z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b/?(?!@)"
SCHEME_END = r"(?:/{1,3}|[a-zA-Z0-9%])"

ADDRESSES = _rules(
    ("<person>", "person"),
    (rf"\b(?:https?:{SCHEME_END}|{HOST})", ""),
    (rf"\b(?:www:{SCHEME_END}|{HOST})", ""),
)
SYMBOLS = _rules(
    (r"@\w+\b", ""),
    (f"[{EAST_ASIAN}]+", ""),
    (f"[{DASHES}]+", "-"),
    ("[`\u00b4\u00ab\u00bb\u201c\u201d\u00a8]", '"'),
    ("[\u2018\u2019]", "'"),
    ("&quot;?", ""),
    ("&amp", ""),
    (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", " "),
    (r"\d:\d\d\s+$", ""),
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.(?:{FILE_KINDS})", ""),
    ("[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (f"[{PUNCTUATION}]+", " "),
    (r"\s+\.\s+", " "),
)
JOINERS = re.compile("[-_]")
WORDS = _rules(
    (r"\b[a-zA-Z]{1,3}\d{3,15}\b", ""),
    (r"\b[a-zA-Z]+\d+[a-zA-Z]+\b", ""),
    (r"\b\d+[a-zA-Z]+\d+\b", ""),
    (r"(?:worldwide\s+)?(?:free\s+)?shipping", ""),
    (r"(?:free\s)?download(?:\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b(?:{FILE_KINDS})(?:\simages?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b", " "),
    ("\\b\\d+\\.?\\d*[x\u0445\u00d7]\\d+\\.?\\d*\\b", ""),
    (r"\b\s+:\s+", ": "),
    (r"(\D[,./])\b", r"\1 "),
    (r"\s+", " "),
)
ENDS = _rules(
    (r"^[\"']([\w\W]+)[\"']$", r"\1"),
    (r"^['_,\-:;]", ""),
    (r"['_,\-:+]$", ""),
    (r"^\.\S+$", ""),
)


def clean_prompt(text: str) -> str:
    """What the tokenizer is given for a prompt: :func:`clean_caption`, twice.

    The second pass is not idle: the first one uncovers what the earlier rules look for.
    """
    return clean_caption(clean_caption(text))


def clean_caption(text: str) -> str:
    """One pass over a caption: lower-cased, without mark-up, addresses, file names and noise."""
    import ftfy

    caption = _apply(ADDRESSES, unquote_plus(text).strip().lower())
    caption = _apply(SYMBOLS, _without_markup(caption))
    if len(JOINERS.findall(caption)) > 3:
        caption = JOINERS.sub(" ", caption)
    caption = html.unescape(html.unescape(ftfy.fix_text(caption))).strip()
    return _apply(ENDS, _apply(WORDS, caption)).strip()


def _apply(rules: tuple[Rule, ...], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _without_markup(text: str) -> str:
    """The text of HTML; mark-up that the parser refuses to read counts as text."""
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        # A leading tag changes no text, and keeps the parser from warning that a prompt looks
        # like a file name, an address or XML.
        return BeautifulSoup("<html>" + text, features="html.parser").text
    except ParserRejectedMarkup:
        return text
