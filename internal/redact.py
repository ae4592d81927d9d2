"""
Secrets out of text, before it is stored or sent.

Two kinds are found: secrets we were given, in every encoding that tools print by themselves, and
shapes that only secrets have (a GitHub token, a private key). It is a seat belt: it does not stop
an agent that encodes on purpose, so credentials stay out of its reach as well.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST_SECRET = 6
"""Characters; shorter ones would be found in ordinary words, and are not looked for."""

# Every pattern is bounded, so a stream knows how much it must hold back.
_LONGEST_MATCH = 16_384 + 128
_LEFT_CONTEXT = 3  # "://" in front of a URL's user
_FEW_NEEDLES = 512
"""Up to here looking for each by itself is faster: some milliseconds for 64 KiB."""


def _token(literal: str, rest: str) -> tuple[str, re.Pattern[str]]:
    """
    The shape of a word that begins with *literal*.

    That a word begins is asserted behind *literal*: an expression that begins with text is found
    ten times faster. For the same reason the literal is looked for first.
    """
    return literal, re.compile(f"{literal}(?<![A-Za-z0-9]{literal}){rest}", re.ASCII)


_PEM_NAME = "(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY"
_SHAPES = (
    _token("gh", r"[a-z]_[A-Za-z0-9]{20,255}"),
    _token("github_pat_", r"\w{20,255}"),
    _token("cft_", r"[\w-]{20,255}"),  # our own
    _token("glpat-", r"[\w-]{20,255}"),
    _token("sk-", r"[\w-]{20,255}"),  # Anthropic's and OpenAI's
    _token("AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("eyJ", r"[\w-]{8,4000}\.[\w-]{8,8000}(?:\.[\w-]{1,4000})?"),  # JSON Web Token
    ("://", re.compile(r"(?<=://)(?!git@)[^\s/?#@\"'<>\\]{1,1000}(?=@)")),
    (
        "-----BEGIN",
        re.compile(
            rf"-----BEGIN {_PEM_NAME}-----"
            rf"(?:[\s\S]{{0,16384}}?-----END {_PEM_NAME}-----|[\s\S]{{0,16384}})"
        ),
    ),
)
_PEM_BEGINS = re.compile(r"-----BEGIN[A-Z0-9 ]{0,80}-{0,4}\Z")
_SPACES = " \t\r\n"
_PLAIN_HOST = re.compile(r"(?:[\w.-]+|\[[^\]@]*\])(?::\d+)?(?=[/?#])")
_URL_SECRET = re.compile(r"([?&][^=&#]*(?:password|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE)


class Redactor:
    """
    Replaces the given secrets, and what looks like one, by `***`. Immutable.

    A secret of several lines is also found line by line.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = sorted({needle for secret in secrets for needle in spellings(secret)})
        self._longest = max(map(len, self._needles), default=0)
        self._starts: dict[str, list[str]] = {}
        for needle in self._needles:
            self._starts.setdefault(needle[:SHORTEST_SECRET], []).append(needle)

    def __repr__(self) -> str:
        return f"Redactor({len(self._needles)} needles)"

    def redact(self, text: str) -> str:
        """*text* with each secret replaced."""
        spans = self.spans(text)
        return _masked(text, spans) if spans else text

    def spans(self, text: str, start: int = 0) -> list[tuple[int, int]]:
        """Where secrets are from *start* on, in order, without overlaps."""
        present = [needle for needle in self._candidates(text) if needle in text]
        found = [span for needle in present for span in _occurrences(needle, text, start)]
        for literal, shape in _SHAPES:
            if literal in text:
                found += (match.span() for match in shape.finditer(text, start))
        return _merged(found) if found else found

    def _candidates(self, text: str) -> Iterable[str]:
        """All needles, or of many those whose beginning stands in *text*."""
        if len(self._needles) <= _FEW_NEEDLES:
            return self._needles
        last = len(text) - SHORTEST_SECRET
        seen = {text[at : at + SHORTEST_SECRET] for at in range(last + 1)}
        return [needle for start in seen & self._starts.keys() for needle in self._starts[start]]

    def held_from(self, text: str) -> int:
        """The index from which the end of *text* may be the beginning of a secret."""
        # No pattern but a private key's holds a space, so a whole word is enough.
        start = max(len(text) - _LONGEST_MATCH, *(text.rfind(space) + 1 for space in _SPACES))
        if key := _PEM_BEGINS.search(text, max(0, len(text) - 96)):
            start = min(start, key.start())
        for at in range(max(0, len(text) - self._longest + 1), start):
            if self._may_begin(text, at) and self._begins_needle(text[at:]):
                return at
        return start

    def _may_begin(self, text: str, at: int) -> bool:
        """A quick look, because a long secret makes many places to look at."""
        return len(text) - at < SHORTEST_SECRET or text[at : at + SHORTEST_SECRET] in self._starts

    def _begins_needle(self, text: str) -> bool:
        index = bisect_left(self._needles, text)
        return index < len(self._needles) and self._needles[index].startswith(text)


class StreamRedactor:
    """
    The same for a text that comes in pieces: what may become a secret is held until it is clear.

    All pieces together are what `Redactor.redact` makes of the whole. A word, an unfinished private
    key or the beginning of a given secret is held; 16 KiB or the longest secret at most.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._before = ""

    def feed(self, text: str) -> str:
        """What can be said of everything up to the end of *text*."""
        return self._release(self._held + text, at_end=False)

    def flush(self) -> str:
        """The rest; the stream has ended."""
        return self._release(self._held, at_end=True)

    def _release(self, text: str, *, at_end: bool) -> str:
        begin = len(self._before)  # what stands before was said already
        seen = self._before + text
        spans = self._redactor.spans(seen, begin)
        cut = len(seen)
        if not at_end:
            cut = max(begin, self._redactor.held_from(seen))
            # A secret that the cut meets may go on behind it.
            cut = next((start for start, end in spans if start < cut <= end), cut)
        self._held = seen[cut:]
        self._before = seen[max(0, cut - _LEFT_CONTEXT) : cut]
        return _masked(seen[:cut], [span for span in spans if span[1] <= cut], begin)


class KnownSecrets:
    """The secrets that this process uses just now; the last step of every log line asks it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count: Counter[str] = Counter()
        self._redactor = Redactor()

    def add(self, *secrets: str) -> None:
        """Know *secrets* from now on; each `add` asks for its own `discard`."""
        with self._lock:
            self._count.update(secrets)
            self._redactor = Redactor(self._count)

    def discard(self, *secrets: str) -> None:
        """Forget them, when nobody else has added them too."""
        with self._lock:
            self._count.subtract(secrets)
            self._count = +self._count
            self._redactor = Redactor(self._count)

    @contextmanager
    def using(self, *secrets: str) -> Generator[None]:
        """Know *secrets* inside the block."""
        self.add(*secrets)
        try:
            yield
        finally:
            self.discard(*secrets)

    def redact(self, text: str) -> str:
        """*text* without any of them."""
        return self._redactor.redact(text)


def mask_url(url: str) -> str:
    """
    *url* fit to be shown: without user and password, and without what its query calls a secret.

    A password may hold a slash or an `@` although it should not; it is masked whole.
    """
    scheme, separator, rest = url.partition("://")
    if separator and "@" in rest and not _PLAIN_HOST.match(rest):
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    return _URL_SECRET.sub(rf"\g<1>{MASK}", f"{scheme}{separator}{rest}")


def _occurrences(needle: str, text: str, start: int) -> Iterator[tuple[int, int]]:
    while (start := text.find(needle, start)) >= 0:
        yield start, start + len(needle)
        start += len(needle)


def spellings(secret: str) -> Iterator[str]:
    """
    Every text by which *secret*, whole or line by line, is looked for; none is shorter than
    `SHORTEST_SECRET`.
    """
    parts = {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}
    for part in parts:
        if len(part) >= SHORTEST_SECRET:
            yield from (form for form in _forms(part) if len(form) >= SHORTEST_SECRET)


def _forms(secret: str) -> Iterator[str]:
    """The spellings in which tools print *secret*."""
    raw = secret.encode(errors="surrogatepass")
    yield secret
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", r"\/")
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted
        yield re.sub("%..", lambda match: match[0].lower(), quoted)
    yield raw.hex()
    yield raw.hex().upper()
    for shift in range(3):
        encoded = _base64_core(raw, shift)
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def _base64_core(raw: bytes, shift: int) -> str:
    """What of *raw* is the same in every base64 text that has *shift* (mod 3) bytes before it."""
    encoded = base64.b64encode(bytes(shift) + raw).decode("ascii")
    foreign = -(-shift * 8 // 6)  # characters that hold a bit of what stands before
    return encoded[foreign : (shift + len(raw)) * 8 // 6]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _masked(text: str, spans: Iterable[tuple[int, int]], begin: int = 0) -> str:
    pieces: list[str] = []
    for start, end in spans:
        pieces += (text[begin:start], MASK)
        begin = end
    return "".join([*pieces, text[begin:]])


KNOWN = KnownSecrets()
"""Of this process."""
