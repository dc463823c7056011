"""Texts made of what NLTK's rules look at."""

from hypothesis import strategies as st

# Pieces that NLTK's rules look at, alone or with what stands beside them.
WORDS = (
    "a b I J k foo Bar The the smith Smith zimmer Zimmer who abreast in é ñandú ß İ K ſ ﬁ ² ½ ª "
    "中文 \u0301 e\u0301 😀 \u200b \u00ad \ue000 \ue001 0 1 00 0.0 0,0 1:2 $5 50% _ ##number##"
)
ABBREVIATIONS = (
    "mr mr. Mr. dr. st. u.s u.s. U.S. e.g. i.e. ph.d. a.m. o.k. no. No. inc. corp. Jan. vs. etc. "
    "j. J. b. B. 0. 10. 5. -mr. foo-mr. x/inc. foo. it! it? it... 'n. don't."
)
CONTRACTIONS = (
    "cannot Cannot gonna wanna gimme gotta lemme more'n d'ye 'tis 'Twas don't can't N'T n't it's "
    "x's a's' dogs' we'll I'd o'clock 's 't 'll 't's rock'n'roll"
)
SIGNS = (
    ". .. ... .... , ; : ! ? !! ?! \" ' '' `` ` ( ) [ ] { } < > - -- --- – — ― ‘ ’ “ ” „ « » & "
    "&amp; @ # $ % * ** / \\ ^ ~ + = | <br /> http://x.com/ a.b.c 。 ¿ ¡"
)
SPACES = [" "] * 12 + [*"\t\n\r\x0b\x0c\x1c\x1f\x85\u00a0\u2028\u3000\u200a", "  ", "\n\n", " \n"]

pieces = st.sampled_from(" ".join((WORDS, ABBREVIATIONS, CONTRACTIONS, SIGNS, SIGNS)).split(" "))


def joined(spaces: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(pieces, st.sampled_from(spaces)), max_size=14).map(
        lambda parts: "".join(piece + space for piece, space in parts)
    )


texts = joined([" "]) | joined([" ", " ", ""]) | joined(SPACES) | joined(["", "", *SPACES])
