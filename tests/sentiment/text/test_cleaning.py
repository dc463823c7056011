"""Cleaning: the 2019 rules against a plain retelling, and our own rule for URLs on a table."""

import string
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentiment.text import cleaning
from sentiment.text.cleaning import URL, URL_MARK, TokenizeConfig, clean, clean_column
from sentiment.text.tokenize import tokenize_text

ARTICLE = TokenizeConfig(urls="article")
WHOLE = TokenizeConfig(urls="whole")
KEEP = TokenizeConfig(urls="keep")


def plain_article(text: str) -> str:
    """The article's cleaning without a regular expression.

    In a text with a hint of a URL, the longest start of a word that ends in a full stop and three
    letters from a to z becomes ``<url>``. Only a space ends a word.
    """
    text = "".join("0" if mark.isdecimal() else mark for mark in text.lower())
    if not any(hint in text for hint in ("www.", "http:", "https:", ".com")):
        return text
    return " ".join(map(_plain_word, text.split(" ")))


def _plain_word(word: str) -> str:
    for end in range(len(word), 3, -1):
        letters = word[end - 3 : end]
        if word[end - 4] == "." and all(letter in string.ascii_lowercase for letter in letters):
            return URL + word[end:]
    return word


fragments = st.sampled_from(
    [
        "www.",
        "http:",
        "https://",
        ".com",
        ".",
        " ",
        "\n",
        "a",
        "the",
        "Zed",
        "7",
        "٣",
        "é",
        "/x",
        ".org",
    ]
)


@pytest.mark.parametrize("urls", ["whole", "article", "keep"])
@pytest.mark.parametrize("lowercase", [True, False])
@given(st.lists(st.lists(fragments, max_size=14).map("".join) | st.text(max_size=30), max_size=6))
def test_a_column_is_cleaned_as_its_texts_are(urls: Any, lowercase: bool, texts: list[str]) -> None:
    for zero_digits in (True, False):
        config = TokenizeConfig(urls=urls, lowercase=lowercase, zero_digits=zero_digits)
        column = pa.array(["before", *texts], pa.string())[1:]
        assert clean_column(column, config).to_pylist() == [clean(text, config) for text in texts]


@given(st.lists(fragments, max_size=14).map("".join) | st.text(max_size=30))
@example("In the end.the www.shop.example.com/a/b?c=1 was it.And 3.50 more")
@example("no hint of one: end.the")
@example("a.comabc .com www.abcd")
def test_article_is_the_rule_of_the_article(text: str) -> None:
    assert clean(text, ARTICLE) == plain_article(text)


def test_article_takes_words_that_are_no_urls_when_there_is_a_hint() -> None:
    assert clean("The end.the Shop", ARTICLE) == "the end.the shop"
    assert clean("The end.the www.shop.com", ARTICLE) == "the <url> <url>"


def test_article_keeps_a_path_and_nltk_cuts_its_mark_in_three() -> None:
    assert clean("see http://a.example.com/x7", ARTICLE) == "see <url>/x0"
    assert tokenize_text("see www.a.com", ARTICLE) == ["see", "<", "url", ">"]


URLS = [
    # text, what is left when every URL is taken out as <url>
    ("see http://shop.example/a/b?c=d&e=f#g now", "see <url> now"),
    ("see https://shop.example:8080/~me/ now", "see <url> now"),
    ("HTTP://SHOP.EXAMPLE is loud", "<url> is loud"),
    ("see http: //shop.example now", "see <url> now"),
    ("see www.shop.example now", "see <url> now"),
    ("see www2.shop.example/x now", "see <url> now"),
    ("at good.com they care", "at <url> they care"),
    ("at two.parts.good.org they care", "at <url> they care"),
    ("at good.com/path/to?x=1 they care", "at <url> they care"),
    ("at good.com:8080/x they care", "at <url> they care"),
    ("at good.co.uk they care", "at <url> they care"),
    ("at good.de/shop they care", "at <url> they care"),
    ("at my-good.info they care", "at <url> they care"),
    ("the end: good.com", "the end: <url>"),
    ("good.com", "<url>"),
    # punctuation behind one stays outside
    ("see www.shop.example.", "see <url> ."),
    ("see http://shop.example/a, then", "see <url> , then"),
    ("have you seen good.com?", "have you seen <url> ?"),
    ("see http://shop.example/a!!!", "see <url> !!!"),
    ("(see www.shop.example/a)", "(see <url> )"),
    ("(http://shop.example)", "( <url> )"),
    ('"www.shop.example"', '" <url> "'),
    ("<www.shop.example>", "< <url> >"),
    ("good.com's staff", "<url> 's staff"),
    ("www.one.example www.two.example", "<url> <url>"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_whole_takes_a_url_as_one_and_leaves_what_follows(text: str, expected: str) -> None:
    cleaned = clean(text, WHOLE).replace(URL_MARK, URL)
    assert cleaned.split() == expected.split()


NO_URLS = [
    "in the end.the plot thins",
    "buy one and/or.it/them all",
    "so slow www.... never again",
    "write to john.com@example.org now",
    "made in the u.s. and the u.k. by mr.smith",
    "it cost 0.00 and weighs 0.0kg",
    "write to me@good.com or john.smith@mail.good.org",
    "well...it broke",
    "good.company and good.commerce",
    "good.com-like shops",
    "come in.it is warm",
    "www is no address, nor is http",
    "files such as readme.txt and setup.exe",
    "either.or, and.or",
    "e.g. this, i.e. that, etc.",
    "a.com_b",
    "",
]


@pytest.mark.parametrize("text", NO_URLS)
def test_whole_leaves_what_is_no_url(text: str) -> None:
    assert clean(text, WHOLE) == text


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_a_url_stays_one_token(text: str, expected: str) -> None:
    tokens = tokenize_text(text, WHOLE)
    assert tokens.count(URL) == expected.count(URL)
    assert URL_MARK not in tokens
    assert all(URL not in token for token in tokens if token != URL)


def test_punctuation_beside_a_url_is_tokens_of_its_own() -> None:
    text = "Don't buy (see www.shop.example/a?b=1), it's junk. Try good.com!"
    expected = "do n't buy ( see <url> ) , it 's junk . try <url> !"
    assert tokenize_text(text, WHOLE) == expected.split()


@pytest.mark.parametrize("urls", ["whole", "article", "keep"])
def test_a_text_with_the_mark_itself_has_no_url(urls: str) -> None:
    config = TokenizeConfig(urls=urls)  # type: ignore[arg-type]
    for text in (f"a {URL_MARK} b", f"a{URL_MARK}b"):
        assert URL not in tokenize_text(text, config)
    both = f"{URL_MARK} and www.shop.example"
    assert tokenize_text(both, config).count(URL) == (urls == "whole")


def test_keep_leaves_urls() -> None:
    assert clean("See www.Shop.com/A7", KEEP) == "see www.shop.com/a0"


@pytest.mark.parametrize(
    ("lowercase", "zero_digits", "expected"),
    [
        (True, True, "born in 0000, à paris"),
        (True, False, "born in 1984, à paris"),
        (False, True, "Born in 0000, À Paris"),
        (False, False, "Born in 1984, À Paris"),
    ],
)
def test_case_and_digits_are_settings(lowercase: bool, zero_digits: bool, expected: str) -> None:
    config = TokenizeConfig(lowercase=lowercase, zero_digits=zero_digits, urls="keep")
    assert clean("Born in 1984, À Paris", config) == expected


def test_digits_of_every_script_become_0() -> None:
    assert clean("٣ ३ 3 ³ Ⅲ", KEEP) == "0 0 0 ³ ⅲ"


plain_words = st.lists(
    st.sampled_from(
        ["fine", "end.the", "(so", "so)", "a@b.com", "u.s.", "0.00", "...", "–", "it's"]
    )
)


@given(plain_words, plain_words)
def test_whole_changes_a_text_only_at_its_url(before: list[str], after: list[str]) -> None:
    def text(middle: str) -> str:
        return " ".join([*before, middle, *after])

    cleaned = clean(text("http://shop.example/x?y=z"), WHOLE)
    assert cleaned.split() == text(URL_MARK).split()


@given(
    st.lists(
        st.sampled_from(
            ["a", "shop", ".", "/", ":", "//", "http", "HTTPS", "www", "www2", "com", "co", "uk"]
        )
        | st.sampled_from(
            [
                "ES",
                "it",
                "info",
                "biz",
                "b\u0131z",
                "-",
                "@",
                "0",
                "é",
                "\u017f",
                "\u212a",
                " ",
                "\n",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_the_quick_way_out_never_misses_a_url(text: str) -> None:
    """The pattern itself, without the hints, is the oracle."""
    pattern = cleaning._WHOLE_URL
    config = TokenizeConfig(lowercase=False, zero_digits=False)
    assert (URL_MARK in clean(text, config)) == bool(pattern.search(text))
