"""Samples are sentences of their reviews, whatever the batch."""

import pyarrow as pa
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.model.batches import Batch
from sentiment.text.vocabulary import PAD, SPECIAL, Vocabulary
from sentiment.training.sentences import LONGEST, SentenceSampler

VOCABULARY = Vocabulary(pa.array([*SPECIAL, ".", "a", "b", "!", "c", "d"]))
STOP, SHOUT = 2, 5
reviews = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=70), min_size=1, max_size=6)


def batch_of(texts: list[list[int]]) -> Batch:
    steps = max(map(len, texts))
    ids = torch.tensor([text + [PAD] * (steps - len(text)) for text in texts])
    labels = torch.arange(len(texts)).float()
    return Batch(ids, torch.tensor([len(text) for text in texts]), labels)


def cut(texts: list[list[int]], count: int, seed: int = 1) -> Batch:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SentenceSampler(count, VOCABULARY, torch.device("cpu"))(batch_of(texts))


def sentences(text: list[int]) -> list[list[int]]:
    """Return a review's sentences by a plain loop, each with its end if it has one."""
    found: list[list[int]] = [[]]
    for word in text:
        found[-1].append(word)
        if word in (STOP, SHOUT):
            found.append([])
    return [sentence for sentence in found if sentence]


def shapes(text: list[int]) -> set[tuple[int, ...]]:
    """Return what may be cut out of a review: sentences, with and without the mark at their end."""
    whole = sentences(text)
    bare = [s[:-1] for s in whole if s[-1] in (STOP, SHOUT) and len(s) > 1]
    return {tuple(s[:LONGEST]) for s in [*whole, *bare]}


@given(reviews, st.integers(1, 3), st.integers(0, 999))
def test_a_sample_is_a_sentence_of_its_review(
    texts: list[list[int]], count: int, seed: int
) -> None:
    found = cut(texts, count, seed)
    assert found.ids.shape == (count * len(texts), LONGEST)
    assert found.labels.tolist() == list(range(len(texts))) * count
    for row, label, length in zip(found.ids.tolist(), found.labels, found.lengths, strict=True):
        assert tuple(row[: int(length)]) in shapes(texts[int(label)])
        assert set(row[int(length) :]) <= {PAD}


def test_every_sentence_comes_up_with_and_without_its_mark() -> None:
    text = [3, 4, STOP, 6, SHOUT, 7, 3, 4]
    found = cut([text], 2_000)
    seen = {
        tuple(row[:length])
        for row, length in zip(found.ids.tolist(), found.lengths.tolist(), strict=True)
    }
    assert seen == shapes(text) == {(3, 4, STOP), (3, 4), (6, SHOUT), (6,), (7, 3, 4)}


def test_marks_that_the_vocabulary_lacks_are_no_unknown_words() -> None:
    few = Vocabulary(pa.array([*SPECIAL, "a"]))
    found = SentenceSampler(1, few, torch.device("cpu"))(batch_of([[2, 1, 2, 1]]))
    assert found.lengths.tolist() == [4]


def test_all_but_the_first_negate_if_any_sentence_does() -> None:
    words = Vocabulary(pa.array([*SPECIAL, ".", "a", "b", "not", "c"]))
    batch = batch_of([[3, STOP, 4, 5, STOP, 6, 3], [3, STOP, 4]])
    seen = set()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        sampler = SentenceSampler(2, words, torch.device("cpu"))
        for _ in range(50):
            found = sampler(batch)
            rows = [r[:n] for r, n in zip(found.ids.tolist(), found.lengths.tolist(), strict=True)]
            assert rows[2] in ([4, 5, STOP], [4, 5])  # the last of the first review
            seen |= {tuple(rows[0]), tuple(rows[3])}
    assert {(3, STOP), (4, 5), (6, 3), (4,)} <= seen
