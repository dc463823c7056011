"""The model: a review's logit depends on its own words and on nothing else."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sentiment.model.config import ModelConfig
from sentiment.model.lstm import Layer, SentimentLSTM, in_order, pool, reverse
from sentiment.text.vocabulary import PAD, UNKNOWN

VOCABULARY_SIZE = 50
POOLINGS = ("last", "mean", "max", "mean+max")
every_shape = pytest.mark.parametrize(
    ("pooling", "bidirectional", "layers"), list(product(POOLINGS, (True, False), (1, 2)))
)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def make_model(**options: Any) -> SentimentLSTM:
    """Return a model whose weights are large enough to spread its probabilities."""
    config = ModelConfig(
        **{"embedding_size": 12, "embedding_std": 1.0, "hidden_size": 10, **options}
    )
    model = SentimentLSTM(config, VOCABULARY_SIZE).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
        model.head.weight.mul_(3.0)
    return model


def padded(reviews: list[list[int]]) -> tuple[Tensor, Tensor]:
    steps = max(map(len, reviews))
    ids = torch.tensor([review + [PAD] * (steps - len(review)) for review in reviews])
    return ids, torch.tensor([len(review) for review in reviews])


def random_reviews(count: int, longest: int) -> list[list[int]]:
    lengths = torch.randint(1, longest + 1, (count,)).tolist()
    return [torch.randint(1, VOCABULARY_SIZE, (length,)).tolist() for length in lengths]


@torch.inference_mode()
def probabilities(model: SentimentLSTM, reviews: list[list[int]]) -> Tensor:
    return torch.sigmoid(model(*padded(reviews)).double())


@every_shape
def test_a_probability_does_not_depend_on_the_batch(
    pooling: str, bidirectional: bool, layers: int
) -> None:
    model = make_model(pooling=pooling, bidirectional=bidirectional, layers=layers)
    reviews = random_reviews(255, 60)
    reviews[0], reviews[1] = reviews[0][:1], [UNKNOWN]
    longest = torch.randint(1, VOCABULARY_SIZE, (200,)).tolist()
    together = probabilities(model, [*reviews, longest])
    assert together.shape == (256,)
    assert together.std() > 0.02  # the reviews do differ
    for place, review in enumerate(reviews[:12]):
        alone = probabilities(model, [review])[0]
        beside = probabilities(model, [longest, review])[1]
        assert abs(alone - together[place]) <= 1e-5
        assert abs(alone - beside) <= 1e-5


@every_shape
def test_what_stands_in_the_padding_has_no_effect(
    pooling: str, bidirectional: bool, layers: int
) -> None:
    model = make_model(pooling=pooling, bidirectional=bidirectional, layers=layers)
    ids, lengths = padded(random_reviews(20, 15))
    outside = torch.arange(ids.shape[1]) >= lengths[:, None]
    assert outside.any()
    other = torch.where(outside, torch.randint_like(ids, 1, VOCABULARY_SIZE), ids)
    with torch.inference_mode():
        torch.testing.assert_close(model(other, lengths), model(ids, lengths), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_order_of_words_has_an_effect(pooling: str, bidirectional: bool) -> None:
    model = make_model(pooling=pooling, bidirectional=bidirectional)
    one, other = probabilities(model, [[5, 6, 7, 8], [8, 7, 6, 5]])
    assert abs(one - other) > 1e-4


def pytorchs_own(layers: list[Layer]) -> nn.LSTM:
    """Return one ``nn.LSTM`` with the weights of a stack of layers."""
    first = layers[0].ahead
    both = layers[0].back is not None
    oracle = nn.LSTM(
        first.input_size, first.hidden_size, len(layers), batch_first=True, bidirectional=both
    )
    weights = {}
    for depth, layer in enumerate(layers):
        for name, value in layer.ahead.state_dict().items():
            weights[name.replace("_l0", f"_l{depth}")] = value
        if layer.back is not None:
            for name, value in layer.back.state_dict().items():
                weights[name.replace("_l0", f"_l{depth}_reverse")] = value
    oracle.load_state_dict(weights)
    return oracle


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_states_are_those_of_pytorch_on_packed_sequences(bidirectional: bool, layers: int) -> None:
    width = 10 * (1 + bidirectional)
    stack = [Layer(size, 10, bidirectional) for size in [12, width, width][:layers]]
    lengths = torch.tensor([1, 7, 3, 7, 2])
    inputs = torch.randn(5, 7, 12)
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    with torch.inference_mode():
        expected, _ = pad_packed_sequence(pytorchs_own(stack)(packed)[0], batch_first=True)
        states = inputs
        for layer in stack:
            states = in_order(layer(states, lengths), lengths)
    assert states.shape == (5, 7, width)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(states[row, :length], expected[row, :length])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_logit_is_that_of_a_review_read_by_plain_pytorch(pooling: str) -> None:
    model = make_model(pooling=pooling, layers=2)
    review = [4, 9, 2, 31, 7]
    oracle = pytorchs_own(list(model.layers))  # type: ignore[arg-type]
    with torch.inference_mode():
        states, (hidden, _) = oracle(model.embedding(torch.tensor([review])))
        pooled = {
            "last": torch.cat([hidden[-2], hidden[-1]], dim=1),
            "mean": states.mean(dim=1),
            "max": states.amax(dim=1),
            "mean+max": torch.cat([states.mean(dim=1), states.amax(dim=1)], dim=1),
        }[pooling]
        expected = (pooled @ model.head.weight.T + model.head.bias)[:, 0]
        logits = model(*padded([review, [3] * 9]))[:1]
    torch.testing.assert_close(logits, expected)


@st.composite
def states_and_lengths(draw: st.DrawFn) -> tuple[list[list[list[float]]], list[int]]:
    """States of shape (batch, steps, 4), and a length from 1 to steps for each row."""
    rows, steps = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    number = st.integers(-64, 64).map(lambda n: n / 16)  # sums of these are exact
    row = st.lists(st.lists(number, min_size=4, max_size=4), min_size=steps, max_size=steps)
    states = draw(st.lists(row, min_size=rows, max_size=rows))
    lengths = draw(st.lists(st.integers(1, steps), min_size=rows, max_size=rows))
    return states, lengths


@given(states_and_lengths())
def test_reversing_is_that_of_a_plain_loop(
    drawn: tuple[list[list[list[float]]], list[int]],
) -> None:
    states, lengths = drawn
    expected = [
        row[:length][::-1] + row[length:] for row, length in zip(states, lengths, strict=True)
    ]
    assert reverse(torch.tensor(states), torch.tensor(lengths)).tolist() == expected


def plain_pool(states: list[list[float]], how: str) -> list[float]:
    """Pool one direction's states of a review without padding."""
    if how == "last":
        return states[-1]
    columns = list(zip(*states, strict=True))
    means = [sum(column) / len(column) for column in columns]
    return means * ("mean" in how) + [max(column) for column in columns] * ("max" in how)


@pytest.mark.parametrize("how", ["last", "mean", "max"])
@settings(max_examples=40)
@given(drawn=states_and_lengths())
def test_pooling_is_that_of_a_plain_loop(
    how: str, drawn: tuple[list[list[list[float]]], list[int]]
) -> None:
    states, lengths = drawn
    expected = torch.tensor(
        [plain_pool(row[:length], how) for row, length in zip(states, lengths, strict=True)]
    )
    directions = [torch.tensor(states), torch.tensor(states)]
    for number in (1, 2):
        pooled = pool(directions[:number], torch.tensor(lengths), how)
        torch.testing.assert_close(pooled, torch.cat(number * [expected], dim=-1))


def test_means_come_before_maxima() -> None:
    ahead, back = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[10.0], [30.0]]])
    pooled = pool([ahead, back], torch.tensor([2]), "mean+max")
    assert pooled.tolist() == [[2.0, 20.0, 3.0, 30.0]]


def embedded_ids(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return the ids that a model looks up when it reads a batch."""
    seen: list[Tensor] = []
    hook = model.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(ids, lengths)
    hook.remove()
    return seen[0]


def test_word_dropout_makes_words_unknown_in_training() -> None:
    model = make_model(word_dropout=0.3).train()
    ids = torch.randint(2, VOCABULARY_SIZE, (50, 40))
    seen = embedded_ids(model, ids, torch.full((50,), 40))
    hidden = seen != ids
    assert set(seen[hidden].tolist()) == {UNKNOWN}
    assert 0.25 < hidden.float().mean() < 0.35


def test_word_dropout_hides_no_padding_before_a_review() -> None:
    """The article's model reads the padding on the left: it is not a word that may be unknown."""
    model = make_model(word_dropout=0.5).train()
    ids = torch.randint(2, VOCABULARY_SIZE, (50, 40)).index_fill(1, torch.arange(20), PAD)
    seen = embedded_ids(model, ids, torch.full((50,), 40))
    assert torch.equal(seen == PAD, ids == PAD)
    assert 0.45 < (seen[:, 20:] == UNKNOWN).float().mean() < 0.55


@every_shape
def test_padding_after_a_review_may_be_hidden_or_not(
    pooling: str, bidirectional: bool, layers: int
) -> None:
    """Of models padded on the right, weights of before are those of now."""
    options = {"pooling": pooling, "bidirectional": bidirectional, "layers": layers}
    ids, lengths = padded([*random_reviews(30, 12), [PAD]])  # the last has no words
    gradients: list[list[Tensor]] = []
    for hides_all in (True, False):
        torch.manual_seed(5)
        model = make_model(word_dropout=0.5, embedding_dropout=0.2, **options).train()
        if hides_all:
            hidden = torch.rand(ids.shape) < 0.5
            states = model.embedding_dropout(model.embedding(ids.masked_fill(hidden, UNKNOWN)))
            logits = model.read(states, lengths)
        else:
            logits = model.lstm(ids, lengths)
        logits.sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) > 4
    assert all(map(torch.equal, *gradients))


def test_word_dropout_hides_nothing_in_use() -> None:
    model = make_model(word_dropout=0.9)
    ids = torch.randint(2, VOCABULARY_SIZE, (10, 8))
    lengths = torch.full((10,), 8)
    assert torch.equal(embedded_ids(model, ids, lengths), ids)
    assert torch.equal(model(ids, lengths), model(ids, lengths))


@pytest.mark.parametrize("name", ["embedding_dropout", "layer_dropout", "head_dropout"])
def test_dropout_acts_in_training_only(name: str) -> None:
    model = make_model(layers=2, **{name: 0.5})
    ids, lengths = padded(random_reviews(10, 8))
    assert torch.equal(model(ids, lengths), model(ids, lengths))
    model.train()
    assert not torch.equal(model(ids, lengths), model(ids, lengths))


def test_dropout_between_layers_needs_a_second_layer() -> None:
    model = make_model(layers=1, layer_dropout=0.9).train()
    ids, lengths = padded(random_reviews(10, 8))
    assert torch.equal(model(ids, lengths), model(ids, lengths))


@every_shape
def test_the_gradient_does_not_reach_padding(
    pooling: str, bidirectional: bool, layers: int
) -> None:
    model = make_model(pooling=pooling, bidirectional=bidirectional, layers=layers).train()
    vectors: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        vectors.append(output)

    model.embedding.register_forward_hook(keep)
    ids, lengths = padded([[4, 9, 2], [7], [3, 8, 8, 5, 6]])
    model(ids, lengths).sum().backward()
    gradient, rows = vectors[0].grad, model.embedding.weight.grad
    assert gradient is not None
    assert rows is not None
    inside = torch.arange(5) < lengths[:, None]
    assert (gradient[~inside] == 0).all()
    assert (gradient[inside] != 0).any(dim=-1).all()  # every word has a say
    assert (rows[PAD] == 0).all()


def test_sizes_follow_the_settings() -> None:
    model = make_model(layers=3, pooling="mean+max")
    assert [layer.ahead.input_size for layer in model.layers] == [12, 20, 20]
    assert model.head.in_features == 40
    assert model.embedding.weight.shape == (VOCABULARY_SIZE, 12)
    assert make_model(layers=2, pooling="last", bidirectional=False).head.in_features == 10


def test_the_seed_decides_the_weights() -> None:
    first = make_model().state_dict()
    torch.manual_seed(3)
    again = make_model().state_dict()
    other = make_model().state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name != "scale")
