"""What is remembered is what NLTK says, for every text: compared with it over and over."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sentiment.text import cached_tokenizer
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.chunks import LONGEST
from sentiment.text.cleaning import TokenizeConfig, clean
from sentiment.text.nltk_words import MARK, word_tokenize
from tests.support.reviews import made_up_reviews, read_lines
from tests.support.texts import texts

# One for many texts: what it remembers from one must hold for the next.
warmed = CachedTokenizer()

ODD_TEXTS = {
    "nothing": "",
    "spaces": "   ",
    "white space": " \n\t\u00a0\u2028 \x1c ",
    "all punctuation": "".join(chr(code) for code in range(33, 127) if not chr(code).isalnum()),
    "punctuation apart": " ".join("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»‘’“”–—…"),
    "closing signs": 'No. ) Yes! " ) Mr. ) ] "Well." \' ) (Mrs. ) So?) ) ...) " End. " )',
    "closing signs only": ") ] } '' \" > ) . ) ' .) .\" ). ).",
    "quotes": "\"\"a\"\" ''b'' ' ''c '' \" d \" \"e. \"f.\" 'g.' `h` ``i'' “j.” ‘k.’ «l.» \"m.\"n.",
    "quote at the start": "'' Fine. '' \"\"Good\"\" ''Bad''",
    "one open chunk": ")",
    "one open chunk of two": "'' ''",
    "HTML": (
        'Liked it.<br /><br />Would <b>not</b> buy&nbsp;again.<br/>"Why?"<br>See <a href='
        '"http://example.com/a.html?b=1&c=2">here</a>&quot;!&quot; &lt;3 &#39;tis <!-- x. -->'
    ),
    "ASCII art": " /\\_/\\  \n( o.o ) \n > ^ <\n** 5/5 ** ==> :-) <== (._.) ¯\\_(ツ)_/¯ ... .. .",
    "code": (
        "if (a[i] != 'x' && b->c() == \"y.\") { return f(0.5, -1)[::2]; } // e.g. foo.bar()\n"
        "#include <stdio.h>\n\tprintf(\"%d\\n\", x++); $ rm -rf ./* | grep -v '^#' > out.txt"
    ),
    "Spanish": "¿Quién lo diría? ¡Qué ñoña!, dijo él. «No.» Sr. Núñez pagó 3,5 €. ¿Sí?",
    "Chinese": "这本书很好。我喜欢它！ 但是，价格太贵了？ “不错。” 五星. 推荐 (真的) 给朋友.",
    "emoji": "Love it 😀😀. 👍🏽! ❤️ 'so' 👩‍👩‍👧 good. 🎉",
    "abbreviations": "Mr. J. K. Smith, Foo Inc., met Dr. B. Levine at 5 p.m. He paid $5. I",
    "numbers": 'No. 5. In 1999. Who? 10. abreast 3.14. The 1,000. 2:30. 7... 8.) 9." (1.) -5. 0',
    "contractions": "cannot, can't; gonna! (wanna) gim. \"lemme\" more'n d'ye 'tis dogs' a's' 's",
    "ellipses": "Well... Then .. so ... The end.... But...but ...no . . . yes . .. (...) ...! ...?",
    "inner breaks": 'good.The bad!the what?"she no.)so yes!!!Then it).but etc.,and so."-So a.:b',
    "the mark": f"a {MARK} b. {MARK}. Mr. {MARK} x{MARK}y ( {MARK} ) {MARK}",
    "long chunks": "x" * 500 + ". " + "ab." * 200 + " " + "'\"(" * 100 + " " + "é" * 50 + ".",
    "ten thousand words": " ".join(text for _, text in made_up_reviews(550, seed=3)),
    "ten thousand open chunks": ") ( mr. '' " * 2_500,
}


def tokenized(tokenizer: CachedTokenizer, *batch: str) -> list[list[str]]:
    """Return each text's words, all texts tokenized as one column."""
    words: list[list[str]] = tokenizer.tokenize(pa.array(batch, pa.string())).to_pylist()
    return words


def differences(tokenizer: CachedTokenizer, batch: list[str]) -> list[str]:
    found = tokenized(tokenizer, *batch)
    return [text for text, words in zip(batch, found, strict=True) if words != word_tokenize(text)]


@settings(max_examples=1_000)
@given(texts)
@example('Sorry. " . x')
@example('More. " why" that\'s')
@example("x .\u00a0.  .")
@example("''a")
def test_every_token_is_nltks(text: str) -> None:
    assert tokenized(warmed, text) == [word_tokenize(text)]
    assert tokenized(CachedTokenizer(), text) == [word_tokenize(text)]


@settings(max_examples=200)
@given(st.text(max_size=30), st.text(st.sampled_from("ab .,!?'\"()`-:0\n"), max_size=30))
def test_every_token_is_nltks_for_any_characters(text: str, narrow: str) -> None:
    assert differences(warmed, [text, narrow]) == []


@pytest.mark.parametrize("name", ODD_TEXTS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_odd_texts(name: str, lowercase: bool) -> None:
    for urls in ("whole", "article", "keep"):
        text = clean(ODD_TEXTS[name], TokenizeConfig(lowercase=lowercase, urls=urls))
        assert tokenized(CachedTokenizer(), text) == [word_tokenize(text)]
    assert tokenized(CachedTokenizer(), ODD_TEXTS[name]) == [word_tokenize(ODD_TEXTS[name])]


@settings(max_examples=60)
@given(st.lists(texts, max_size=8), st.randoms(use_true_random=False))
def test_a_warmed_tokenizer_answers_as_a_fresh_one(batch: list[str], chance: random.Random) -> None:
    tokenizer = CachedTokenizer()
    expected = tokenized(tokenizer, *batch)
    assert tokenized(tokenizer, *batch) == expected
    order = chance.sample(range(len(batch)), len(batch))
    assert tokenized(tokenizer, *(batch[at] for at in order)) == [expected[at] for at in order]
    assert [tokenized(CachedTokenizer(), text)[0] for text in batch] == expected


@settings(max_examples=60)
@given(st.lists(texts, max_size=8), st.integers(0, 12))
def test_a_small_memory_stays_small_and_right(batch: list[str], capacity: int) -> None:
    tokenizer = CachedTokenizer(capacity)
    for text in batch * 2:
        assert tokenized(tokenizer, text) == [word_tokenize(text)]
        assert len(tokenizer.answers) <= capacity
    assert differences(tokenizer, batch) == []
    assert len(tokenizer.answers) <= capacity


def test_what_is_used_stays_and_what_is_not_goes() -> None:
    tokenizer = CachedTokenizer(capacity=20)
    for number in range(50):
        tokenized(tokenizer, f"often seldom{number}")
    assert "often" in tokenizer.answers and "seldom49" in tokenizer.answers
    assert "seldom0" not in tokenizer.answers


def test_nltk_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "So-called 'music' by Mr. Smith, e.g. it's \" well... \" made; isn't it?"
    tokenizer = CachedTokenizer()
    expected = tokenized(tokenizer, text)
    for name in ("word_tokenize", "ask"):
        monkeypatch.delattr(cached_tokenizer, name)
    assert tokenized(tokenizer, text) == expected


def test_long_chunks_are_not_remembered() -> None:
    tokenizer = CachedTokenizer()
    tokenized(tokenizer, "x" * (LONGEST + 1) + " " + "y" * LONGEST)
    assert len(tokenizer.answers) == 1


def real_texts() -> Iterator[str]:
    folder = os.environ.get("SENTIMENT_DATA")
    paths = sorted(Path(folder).glob("*.bz2")) if folder else []
    if not paths:
        pytest.skip("SENTIMENT_DATA names no folder with real reviews (*.bz2)")
    for path in paths:
        for line in read_lines(path):
            yield line.partition(b" ")[2].decode("utf-8", "replace")


def test_real_reviews() -> None:
    tokenizer, config = CachedTokenizer(), TokenizeConfig()
    batch: list[str] = []
    for text in real_texts():
        batch.append(clean(text, config))
        if len(batch) == 1_000:
            assert differences(tokenizer, batch) == []
            batch.clear()
    assert differences(tokenizer, batch) == []


def test_real_reviews_cleaned_otherwise_or_not() -> None:
    tokenizer, article = CachedTokenizer(), TokenizeConfig(urls="article")
    some = [text for number, text in enumerate(real_texts()) if number % 20 == 0]
    assert differences(tokenizer, some) == []
    assert differences(tokenizer, [clean(text, article) for text in some]) == []
