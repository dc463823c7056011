"""A model bundle reads back as it was written, or says what is wrong with it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sentiment.errors import ModelError
from sentiment.model.bundle import FORMAT, Bundle, BundleConfig, save_bundle
from sentiment.model.bundle_files import SUMS, bundle_digest, check_bundle, write_checksums
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import EncodedReviews, TensorsConfig
from sentiment.text.vocabulary import VOCABULARY, Vocabulary
from tests.support.bundles import (
    TENSORS,
    TOKENIZE,
    TRAIN,
    Trained,
    with_settings,
    write_random_bundle,
)
from tests.support.reviews import contents

FILES = ("model.safetensors", "config.json", "vocabulary.parquet")
LOADED = (*FILES, "profile.json")


@pytest.fixture
def bundle(trained: Trained, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))


def test_a_bundle_holds_what_it_says(trained: Trained) -> None:
    assert set(contents(trained.bundle)) == {*LOADED, SUMS, "history.parquet"}


def test_settings_and_words_read_back(trained: Trained) -> None:
    loaded = Bundle.load(trained.bundle)
    assert loaded.config == BundleConfig(tokenize=TOKENIZE, tensors=TENSORS, train=TRAIN)
    vocabulary = Vocabulary.load(trained.vocabulary)
    assert len(loaded.vocabulary) == len(vocabulary)
    words = [vocabulary.word(number) for number in range(len(vocabulary))]
    assert [loaded.vocabulary.word(number) for number in range(len(vocabulary))] == words


def test_a_loaded_model_is_ready_for_use(trained: Trained) -> None:
    assert not Bundle.load(trained.bundle).model.training


@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(embedding_size=5, hidden_size=3),
        ModelConfig(embedding_size=5, hidden_size=3, layers=2, bidirectional=False, pooling="last"),
    ],
)
def test_weights_read_back_bit_for_bit(
    trained: Trained, tmp_path: Path, model: ModelConfig
) -> None:
    config = BundleConfig(
        tokenize=TokenizeConfig(urls="article", lowercase=False),
        tensors=TensorsConfig(max_length=7),
        train=TrainConfig(model=model, epochs=9, max_length=5),
    )
    network = SentimentLSTM(model, len(Vocabulary.load(trained.vocabulary)))
    save_bundle(tmp_path, config, trained.vocabulary, network)
    loaded = Bundle.load(tmp_path)
    assert loaded.config == config
    kept, weights = loaded.model.state_dict(), network.state_dict()
    assert kept.keys() == weights.keys()
    assert all(torch.equal(kept[name], weights[name]) for name in weights)


def test_the_same_model_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    loaded = Bundle.load(trained.bundle)
    save_bundle(tmp_path, loaded.config, trained.vocabulary, loaded.model, loaded.profile)
    again = contents(tmp_path)
    assert again == {name: contents(trained.bundle)[name] for name in again}
    assert set(again) == {*LOADED, SUMS}


def test_the_profile_counts_the_training_reviews(trained: Trained) -> None:
    profile = Bundle.load(trained.bundle).profile
    assert profile is not None
    assert (profile.reviews, profile.positive) == (240, 120)
    assert profile.words == sum(EncodedReviews.load(trained.train_tensors).words)


def test_a_bundle_without_a_profile_can_be_used(bundle: Path) -> None:
    (bundle / "profile.json").unlink()
    write_checksums(bundle)
    assert Bundle.load(bundle).profile is None


def test_the_digest_is_that_of_the_files_that_are_loaded(bundle: Path) -> None:
    digest = bundle_digest(bundle)
    (bundle / "history.parquet").unlink()
    assert Bundle.load(bundle).digest == check_bundle(bundle) == digest
    change_config(bundle, lambda config: config["tensors"].update(max_length=3))
    assert Bundle.load(bundle).digest != digest


def test_other_tools_can_check_a_bundle(bundle: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=bundle, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name}: OK" for name in sorted(LOADED)]
    digest = subprocess.run(["sha256sum", SUMS], cwd=bundle, capture_output=True, text=True)
    assert digest.stdout.split()[0] == Bundle.load(bundle).digest


@pytest.mark.parametrize("name", [*LOADED, SUMS])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_is_an_error(bundle: Path, name: str, place: float, bit: int) -> None:
    path = bundle / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(place * len(content))] ^= 1 << bit
    try:
        path.write_bytes(flipped)
        with pytest.raises(ModelError, match="damaged model bundle"):
            check_bundle(bundle)
    finally:
        path.write_bytes(content)


def test_a_file_of_another_model_is_an_error(bundle: Path, trained: Trained) -> None:
    loaded = Bundle.load(bundle)
    network = SentimentLSTM(TRAIN.model, len(loaded.vocabulary))
    other = bundle.with_name("other")
    other.mkdir()
    save_bundle(other, loaded.config, trained.vocabulary, network)
    shutil.copyfile(other / "model.safetensors", bundle / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors is not what SHA256SUMS says"):
        Bundle.load(bundle)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bundle: Path, value: float) -> None:
    weights = load_file(bundle / "model.safetensors")
    weights["head.weight"][0, 0] = value
    save_file(weights, bundle / "model.safetensors")
    write_checksums(bundle)
    with pytest.raises(ModelError, match=r"head\.weight holds values that are not finite"):
        Bundle.load(bundle)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"hidden_size": 20_000}, r"head.weight is F32 \[1, 32\] instead of F32 \[1, 80000\]"),
        ({"embedding_size": 10**7}, "embedding.weight is F32"),
        ({"embedding_size": 10**12}, "embedding.weight is F32"),
        ({"ngrams": {"buckets": 10**9}}, "ngrams.bias is missing"),
        ({"layers": 10**6}, "1,000,000 layers in 12 weights"),
    ],
)
def test_settings_take_no_memory_that_the_weights_do_not(
    bundle: Path, model: dict[str, Any], problem: str
) -> None:
    change_config(bundle, lambda config: config["train"]["model"].update(model))
    before = psutil.Process().memory_info().rss
    with pytest.raises(ModelError, match=problem):
        Bundle.load(bundle)
    assert psutil.Process().memory_info().rss - before < 2**27


def test_a_long_word_many_times_takes_its_memory_once(bundle: Path) -> None:
    rows = len(Bundle.load(bundle).vocabulary)
    words = ["_PAD", "_UNK", *["x" * 2**22] * (rows - 2)]
    table = pa.table([words, [1] * rows], schema=VOCABULARY)
    pq.write_table(table, bundle / "vocabulary.parquet", compression="zstd")
    write_checksums(bundle)
    pool = pa.default_memory_pool()
    before, peak = pool.bytes_allocated(), pool.max_memory()
    with pytest.raises(ModelError, match="a word is missing or occurs twice"):
        Bundle.load(bundle)
    assert pool.max_memory() == peak or pool.max_memory() - before < 2**26


def test_an_embedding_without_rows_is_an_error(bundle: Path) -> None:
    weights = load_file(bundle / "model.safetensors")
    weights["embedding.weight"] = torch.tensor(1.0)
    save_file(weights, bundle / "model.safetensors")
    write_checksums(bundle)
    with pytest.raises(ModelError, match=r"embedding\.weight is F32 \[\] instead of"):
        Bundle.load(bundle)


def test_a_row_without_a_word_is_an_error(bundle: Path) -> None:
    words = pq.read_table(bundle / "vocabulary.parquet").to_pydict()
    words["word"][-1] = None
    pq.write_table(pa.table(words, schema=VOCABULARY), bundle / "vocabulary.parquet")
    write_checksums(bundle)
    with pytest.raises(ModelError, match="a word is missing or occurs twice"):
        Bundle.load(bundle)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: not a model bundle.*sentiment run"):
        Bundle.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelError, match=f"not a model bundle, {name} missing"):
        Bundle.load(bundle)


def test_all_missing_files_are_named(bundle: Path) -> None:
    for name in FILES:
        (bundle / name).unlink()
    with pytest.raises(ModelError, match=" and ".join(FILES)):
        Bundle.load(bundle)


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_bytes(b"\x80\x04not what it was\xff" * 9)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", [*FILES, "profile.json"])
@pytest.mark.parametrize("damage", [halved, emptied, overwritten, replaced_by_a_folder])
def test_a_damaged_file_is_an_error(
    bundle: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(bundle / name)
    with pytest.raises(ModelError, match="model bundle"):
        Bundle.load(bundle)


@pytest.mark.parametrize("other", [None, 0, FORMAT + 1, "1"])
def test_another_format_is_an_error(bundle: Path, other: Any) -> None:
    change_config(bundle, lambda config: config.update(format=other))
    with pytest.raises(ModelError, match=f"format {other}, but this version reads {FORMAT}"):
        Bundle.load(bundle)


def test_a_config_without_a_format_is_an_error(bundle: Path) -> None:
    change_config(bundle, lambda config: config.pop("format"))
    with pytest.raises(ModelError, match="bundle format None"):
        Bundle.load(bundle)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "[{}]"])
def test_a_config_that_is_no_object_is_an_error(bundle: Path, content: str) -> None:
    (bundle / "config.json").write_text(content)
    write_checksums(bundle)
    with pytest.raises(ModelError, match="damaged model bundle"):
        Bundle.load(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("train"),
        lambda config: config["train"].update(momentum=0.9),
        lambda config: config["tensors"].update(max_length="long"),
        # Weights of another shape, more of them, fewer of them
        lambda config: config["train"]["model"].update(hidden_size=9),
        lambda config: config["train"]["model"].update(layers=2),
        lambda config: config["train"]["model"].update(bidirectional=False, pooling="mean"),
        # Of an LSTM alone
        lambda config: config.update(early_exits=[{"factors": [1], "limit": 0}]),
    ],
)
def test_settings_that_do_not_fit_are_an_error(
    bundle: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    change_config(bundle, change)
    with pytest.raises(ModelError, match=r"damaged model bundle \("):
        Bundle.load(bundle)


@pytest.mark.parametrize(
    ("factors", "layers", "fits"),
    [([[1]], 2, True), ([[1], [1, 1]], 1, True), ([[1], [1, 1]], 2, False), ([[1, 1]], 1, False)],
)
def test_early_exits_fit_the_parts_of_the_model(
    factors: list[list[float]], layers: int, fits: bool, tmp_path: Path
) -> None:
    bundle = write_random_bundle(tmp_path, layers=layers)
    exits = [{"factors": each, "limit": 0.5} for each in factors]
    with_settings(bundle, early_exits=exits)
    if fits:
        assert len(Bundle.load(bundle).config.early_exits) == len(factors)
    else:
        with pytest.raises(ModelError, match="early_exits: at most"):
            Bundle.load(bundle)


def test_the_early_exit_of_one_revision_is_left_out(tmp_path: Path) -> None:
    bundle = with_settings(write_random_bundle(tmp_path), early_exit={"scale": 1, "limit": 2})
    assert Bundle.load(bundle).config.early_exits == ()


def test_an_unknown_setting_is_named(bundle: Path) -> None:
    change_config(bundle, lambda config: config["train"].update(excerpts=3))
    with pytest.raises(ModelError, match=r"\(config\.json: train\.excerpts: unknown setting\)"):
        Bundle.load(bundle)


@pytest.mark.parametrize(
    "vocabulary",
    [
        pa.table([["_PAD", "_UNK", "lamp"], [0, 0, 9]], schema=VOCABULARY),  # of another size
        pa.table([["lamp", "works"], [5, 4]], schema=VOCABULARY),
        pa.table({"token": ["_PAD", "_UNK"]}),
        pa.table({"word": [0, 1]}),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_an_error(bundle: Path, vocabulary: pa.Table) -> None:
    pq.write_table(vocabulary, bundle / "vocabulary.parquet")
    write_checksums(bundle)
    with pytest.raises(ModelError, match="damaged model bundle"):
        Bundle.load(bundle)


def change_config(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    write_checksums(bundle)
