"""What is known of a chunk of text, which stands between two spaces, without its neighbours.

This rests on three facts about NLTK:

1. *Words.* Each rule of ``NLTKWordTokenizer`` matches inside one chunk and at most the space
   beside it. So within a sentence a chunk's tokens depend on nothing but whether it is the first
   (only ``"`` and ``''`` at its start care) and whether it is the last (only a period, an
   apostrophe or closing signs at its end care). One rule looks further: the sentence's last
   period, behind which chunks of closing signs alone may stand.
2. *Sentences.* Where Punkt might end a sentence, behind ``.``, ``?`` or ``!``, one of its signs
   ``PunktLanguageVars._re_non_word_chars`` follows, or a space. Of the places in one chunk only
   the last counts. Whether the sentence ends there depends on the chunk and, behind its last
   character, on the chunk after it. Closing signs after the break join the sentence before it, if
   a space or ``--`` follows them.
3. *Periods.* Behind an ASCII word of two letters or digits or more, not all of them digits, Punkt
   always ends the sentence, unless the word ends as one of its abbreviations or collocations does;
   so it does behind a closing sign with a period after it. An ellipsis may end a sentence or not:
   its tokens are the same.

A chunk is *steady* if by these facts it has the same tokens in every text: the pattern ``_STEADY``
tells. It begins with signs that neither quote nor close, then perhaps one quote, then a letter or
digit. It ends in one of a few ways:

- with a letter or digit and then signs but none of ``.?!'``: all breaks are inside;
- with one apostrophe, which is not a quote behind a clitic, and closing signs or one of ``:;,``.

The other endings may break the sentence, so up to the last letter or digit any of ``.?!`` must be
followed by a letter, a digit, or one of ``.<>``:

- with ``?`` or ``!``, a sure break, and then closing signs, which join it, or one of ``:;,``;
- with an ellipsis, and then signs but none of ``.?!'``;
- with ``.,``, which does not end a sentence, or with closing signs, ``?`` or ``!`` and a period;
- with a period that is sure by fact 3, and then closing signs, which join it, or one of ``:;``.

Signs that neither quote nor close, sentence ends and periods are steady alone, too.

All other chunks are *open*: abbreviations, initials and numbers before a period, closing signs
alone, several places for a break, white space other than spaces, what is long.
"""

import re
from functools import cache
from itertools import chain, count

import pyarrow as pa
import pyarrow.compute as pc
from punkt.data import english

from sentiment.text.nltk_words import MARK

LONGEST = 40  # characters; longer chunks seldom recur

_PLAIN = r"[^\s\w.?!'\")\]}‘’“”«»]"  # signs that neither quote, close, nor end a sentence
_STEADY = re.compile(
    rf"""
    {_PLAIN}* ["']? (?=\w)
    (?: \S* (?<=\w) (?: [^\s\w.?!']* | (?<! '[sSmMdD]) ' [\])}}:;,]* )
      | (?: [^\s.?!] | [.?!](?=[\w.<>]) )* (?<=\w)
        (?: [?!]+ (?: ["\])}}]* | [:;,] )
          | \.\.+ [^\s\w.?!']*
          | \.,
          | (?: ["'\])}}]+ | [?!]+ [\])}}]* ) \.
          | (?P<stop> \. ) (?: ["'\])}}]* | [:;] )
        )
    )
    | (?: (?!>) {_PLAIN} )+ | [?!]+ | \.+
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(
    r"(?: ([A-Za-z']{2,}) | [A-Za-z](?:\.?[0-9]+)+ | [0-9][A-Za-z]+ ) \.[^\w.]*$", re.VERBOSE
)
_UNSURE = {
    re.split(r"[^a-z]", word)[-1]
    for word in chain(english.ABBREV_TYPES, (first for first, _ in english.COLLOCATIONS))
}

# Most chunks that are new are words and punctuation, where NLTK's rules do no more than this.
_EVIDENT = (
    r"""(?i)^(?P<before>["'(&$#]?)"""
    r"""(?P<words>[a-z0-9]+(?:(?:[-./_]|\.\.+|--|[!?;(&]|\)\.?|\.?[<>])[a-z0-9]+"""
    r"""|[,:][a-z][a-z0-9]*)*(?:-$)?)"""
    r"""(?P<clitic>(?-i:'[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)?)"""
    r"""(?P<after>(?:\.\.+)?[")\],:;]*|[?!]+(?:[")\]]*|[:;,])|(?:[")\]]+|[?!]+)\.|'[)\],:;]*"""
    r"""|(?P<stop>\.)(?:[")\]]*|[:;]))$"""
)
_APART = r"(\.\.+|--|[!?;(),:&<>])"  # among the words
# But for words that are split in two, and for clitics at the start or before an apostrophe.
_IN_TWO = ("cannot", "gimme", "gonna", "gotta", "lemme", "wanna")
_SPLIT = (
    rf"(?i){'|'.join(_IN_TWO)}|'[smd]'"
    r"|^'(?:(?:re|ve|ll|m|t|s|d|n)(?:[^a-z0-9_]|$)|t(?:is|was))"
)

# A word, and what may end it for Punkt without ending a sentence.
_FIRST_WORD = re.compile(r"([A-Za-z]+)(?:,|[:;')][^\s.?!]*)?")
_LOOKED_UP = {*_IN_TWO, *(second for _, second in english.COLLOCATIONS)}


def is_steady(chunk: str) -> bool:
    """Return whether a chunk has the same tokens in every text."""
    if len(chunk) > LONGEST or MARK in chunk:
        return False
    shape = _STEADY.fullmatch(chunk)
    if shape is None or shape["stop"] is None:
        return shape is not None
    return _is_sure(chunk)


def _is_sure(chunk: str) -> bool:
    """Return whether Punkt ends a sentence behind the period of a chunk in every text."""
    word = _LAST_WORD.search(chunk)
    return chunk.isascii() and word is not None and (word[1] or "-").lower() not in _UNSURE


def evident(chunks: pa.StringArray) -> pa.StringArray:
    """Return the tokens of steady chunks, with spaces between them, where they are evident.

    They are those that NLTK would give; the others are null. It asks no one, and so takes a
    fraction of the time.
    """
    signed = pc.invert(pc.match_substring_regex(chunks, "^[A-Za-z0-9]+$"))
    tokens = pc.replace_with_mask(chunks, signed, _with_signs_apart(chunks.filter(signed)))
    short = pc.less_equal(pc.binary_length(chunks), LONGEST)
    known = pc.and_not(short, pc.match_substring_regex(chunks, _SPLIT))
    return pc.if_else(known, tokens, None)


def _with_signs_apart(chunks: pa.StringArray) -> pa.StringArray:
    before, words, clitic, after, stop = pc.extract_regex(chunks, pattern=_EVIDENT).flatten()
    signs = pc.replace_substring_regex(after, r"(\.+|[^.])", r" \1")
    tokens = pc.binary_join_element_wise(
        pc.replace_substring(pc.replace_substring_regex(before, "(.)", r"\1 "), '"', "``"),
        pc.replace_substring_regex(words, _APART, r" \1 "),
        pc.replace_substring_regex(clitic, "(.+)", r" \1"),
        pc.replace_substring(signs, '"', "''"),
        "",
    )
    stopped = pc.fill_null(pc.equal(stop, "."), False)
    sure = [_is_sure(chunk) for chunk in chunks.filter(stopped).to_pylist()]
    kept = pc.replace_with_mask(pc.invert(stopped), stopped, pa.array(sure, pa.bool_()))
    return pc.if_else(kept, tokens, None)


def stand_in(chunk: str) -> str | None:
    """Return a word that, behind a period, means the same to Punkt as this chunk.

    Punkt goes by its first word: its case, and what the word's entries in the parameters are. None
    if the chunk does not begin with a plain word, or with one that is looked up as it is.
    """
    match = _FIRST_WORD.fullmatch(chunk)
    word = match[1].lower() if match else ""
    if not word or word in _LOOKED_UP:
        return None
    like = _words_by_entries()[_entries(word)]
    return like.capitalize() if chunk[0].isupper() else like


@cache
def _words_by_entries() -> dict[tuple[int, bool], str]:
    words = [word for word in sorted(english.ORTHO_CONTEXT) if _FIRST_WORD.fullmatch(word)]
    unknown = next(word for word in map("x".__mul__, count(1)) if word not in english.ORTHO_CONTEXT)
    return {_entries(word): word for word in [unknown, *words] if word not in _LOOKED_UP}


def _entries(word: str) -> tuple[int, bool]:
    return english.ORTHO_CONTEXT.get(word, 0), word in english.SENT_STARTERS
