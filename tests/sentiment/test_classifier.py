"""The Classifier: texts in, probabilities out, whatever stands beside them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, roc_auc_score

from sentiment import Classifier
from sentiment.errors import DataError, ModelError
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.evaluate import evaluate_model
from sentiment.model.bundle import Bundle
from sentiment.model.bundle_files import bundle_digest
from sentiment.model.inference import BATCH_SIZE
from sentiment.model.registry import CHAMPION, CHAMPION_FORMAT, LATEST
from sentiment.model.texts import encode_texts
from sentiment.text.tensors import EncodedReviews
from tests.support.bundles import Trained, with_early_exit, with_settings, write_random_bundle
from tests.support.reviews import made_up_reviews, rows_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def classifier(trained: Trained) -> Classifier:
    return Classifier.load(trained.bundle)


TEXTS = [text for _, text in made_up_reviews(40, seed=21)]


def test_texts_get_one_probability_each(classifier: Classifier) -> None:
    chances = classifier.probabilities(TEXTS)
    assert chances.shape == (40,)
    assert chances.dtype == np.float64
    assert ((chances > 0) & (chances < 1)).all()


def test_praise_and_blame_are_distinguished(classifier: Classifier) -> None:
    assert classifier.predict(["A lovely lamp", "A dreadful lamp"]) == ["positive", "negative"]


def test_probabilities_come_in_the_order_of_the_texts(classifier: Classifier) -> None:
    forward = classifier.probabilities(TEXTS)
    backward = classifier.probabilities(TEXTS[::-1])
    np.testing.assert_allclose(forward, backward[::-1], rtol=0, atol=1e-6)
    assert len(np.unique(forward.round(4))) > 10


def test_any_iterable_of_texts_will_do(classifier: Classifier) -> None:
    expected = classifier.probabilities(TEXTS)
    assert (classifier.probabilities(text for text in TEXTS) == expected).all()
    assert (classifier.probabilities(tuple(TEXTS)) == expected).all()


@pytest.mark.parametrize(
    "column",
    [
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=range(7, 7 + len(TEXTS))),
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="string[python]"),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()).dictionary_encode(),
        pa.chunked_array([TEXTS[:3], TEXTS[3:]]),
        dict.fromkeys(TEXTS).keys(),
    ],
    ids=lambda column: f"{type(column).__name__}-{getattr(column, 'dtype', '')}",
)
def test_columns_of_the_usual_libraries_will_do(classifier: Classifier, column: Any) -> None:
    expected = classifier.probabilities([str(text) for text in pd.Series([*column]).astype(str)])
    assert (classifier.probabilities(column) == expected).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("awful", "texts is a single str. Put it into a list."),
        (b"awful", "texts is a single bytes"),
        (pd.DataFrame({"text": TEXTS}), "texts is a DataFrame. Pass one column of it"),
        (pa.table({"text": TEXTS}), "texts is a Table. Pass one column"),
        ({"text": TEXTS}, "texts is a dict. Pass one column"),
        (np.array([TEXTS, TEXTS]), "texts is an array of 2 dimensions"),
        (None, "texts is None. Pass several strings"),
        (["fine", None], r"texts\[1\] is None; .*dropna"),
        (["fine", "fine", float("nan")], r"texts\[2\] is nan; .*dropna"),
        (pd.Series(["fine", None], dtype="string"), r"texts\[1\] is <NA>; .*dropna"),
        (pa.array(["fine", None]), r"texts\[1\] is None; .*dropna"),
        ([b"fine"], r"texts\[0\] is b'fine'; decode it"),
        (["fine", 3], r"texts\[1\] is 3; every text must be a string"),
        ([["fine"]], r"texts\[0\] is \['fine'\]; every text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_refused_and_its_row_named(
    classifier: Classifier, wrong: Any, message: str
) -> None:
    for use in (classifier.probabilities, classifier.predict, classifier.score):
        with pytest.raises(DataError, match=f"^{message}"):
            use(wrong)


def test_the_row_is_named_beyond_the_first_window(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.model.texts.WINDOW", 16)
    for wrong in (None, "caf\udce9"):
        with pytest.raises(DataError, match=r"^texts\[40\] "):
            classifier.probabilities([*TEXTS, wrong])  # type: ignore[list-item]


def test_probabilities_of_both_classes_have_the_shape_of_scikit_learn(
    classifier: Classifier,
) -> None:
    both = classifier.predict_proba(TEXTS)
    assert both.shape == (40, 2)
    assert (both[:, 1] == classifier.probabilities(TEXTS)).all()
    np.testing.assert_allclose(both.sum(axis=1), 1)
    assert classifier.classes_[both.argmax(axis=1)].tolist() == classifier.predict(TEXTS)
    assert classifier.predict_proba([]).shape == (0, 2)


def test_scikit_learn_can_measure_it(classifier: Classifier) -> None:
    class Fitted(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = classifier.classes_

        def fit(self) -> None: ...
        def predict(self, texts: list[str]) -> list[str]:
            return classifier.predict(texts)

        def predict_proba(self, texts: list[str]) -> Any:
            return classifier.predict_proba(texts)

    labels = np.where(np.arange(40) % 3 == 0, "negative", "positive")
    found = get_scorer("roc_auc")(Fitted(), TEXTS, labels)
    assert found == pytest.approx(roc_auc_score(labels, classifier.probabilities(TEXTS)))


def test_a_url_is_no_folder_to_load_from(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_STORAGE", "s3://bucket/storage")
    for given in (None, "b70"):
        with pytest.raises(ModelError, match=r"^s3://bucket/storage: .*Fetch it first.*bundle_at"):
            Classifier.load(given)
    assert isinstance(Classifier.load(trained.bundle), Classifier)


def test_a_model_is_found_by_the_start_of_its_key(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIMENT_STORAGE", str(tmp_path))
    for key in ("b70cf32e", "b71aaaaa"):
        shutil.copytree(trained.bundle, tmp_path / "train" / key)
    for given in ("b70", "b71aaaaa", tmp_path / "train" / "b70cf32e"):
        assert isinstance(Classifier.load(given), Classifier)
    with pytest.raises(ModelError, match=r"^b7: the start of several keys.*b70cf32e, b71aaaaa"):
        Classifier.load("b7")
    with pytest.raises(
        ModelError, match=r"^b8: not a model bundle, a champion's name or a key.*b70cf32e"
    ):
        Classifier.load("b8")


def test_a_stream_is_taken_a_window_at_a_time(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.model.texts.WINDOW", 16)
    held, most = 0, 0

    def stream() -> Iterator[str]:
        nonlocal held, most
        for text in TEXTS * 3:
            held += 1
            most = max(most, held)
            yield text

    real = encode_texts

    def encode(bundle: Bundle, window: list[str], first: int) -> EncodedReviews:
        nonlocal held
        held -= len(window)
        return real(bundle, window, first)

    monkeypatch.setattr("sentiment.model.texts.encode_texts", encode)
    chances = classifier.probabilities(stream())
    assert most <= 16
    assert held == 0
    np.testing.assert_allclose(
        chances, np.tile(classifier.score(TEXTS).probabilities, 3), rtol=0, atol=1e-5
    )


def test_a_fast_classifier_asks_the_whole_model_only_where_its_parts_are_in_doubt(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.model.inference.has_bfloat16", lambda device: False)
    with pytest.raises(ModelError, match="no early exits"):
        Classifier.load(trained.bundle, fast=True)
    bundle = with_early_exit(tmp_path)
    exact, fast = Classifier.load(bundle), Classifier.load(bundle, fast=True)
    scores, expected = fast.score(TEXTS), exact.score(TEXTS).probabilities
    assert 0 < scores.exited.sum() < len(TEXTS)
    doubtful = ~scores.exited
    np.testing.assert_allclose(
        scores.probabilities[doubtful], expected[doubtful], rtol=0, atol=1e-5
    )
    assert (scores.probabilities[scores.exited] != expected[scores.exited]).any()
    np.testing.assert_allclose(fast.probabilities(TEXTS), scores.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(exact.score(TEXTS).exited, False)


def test_threads_may_share_a_classifier(classifier: Classifier) -> None:
    parts = [2 * (TEXTS[start:] + TEXTS[:start]) for start in range(24)]
    assert len(parts[0]) > BATCH_SIZE  # so that each is shared out to threads of its own
    expected = [classifier.probabilities(texts) for texts in parts]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(classifier.probabilities, parts))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(expected, found, strict=True):
        assert (one == other).all()


def test_scores_count_the_words(classifier: Classifier) -> None:
    scores = classifier.score(["A lovely lamp", "Zyxx lamp qwyjibo", "and " * 90])
    assert scores.words.tolist() == [3, 3, 90]
    assert scores.unknown.tolist()[:2] == [0, 2]


def test_without_a_path_it_is_the_champion_else_the_latest_model(
    trained: Trained, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIMENT_STORAGE", str(tmp_path))
    with pytest.raises(ModelError, match="no model here yet"):
        Classifier.load()
    (tmp_path / LATEST).mkdir(parents=True)
    latest = Classifier.load(write_random_bundle(tmp_path / LATEST)).probabilities(TEXTS)
    assert (Classifier.load().probabilities(TEXTS) == latest).all()
    shutil.copytree(trained.bundle, tmp_path / "train" / "1")
    champion = {"model": "train/1", "digest": bundle_digest(trained.bundle)}
    champions = {"format": CHAMPION_FORMAT, "champion": champion, "earlier": []}
    (tmp_path / CHAMPION).write_text(json.dumps(champions))
    chances = Classifier.load().probabilities(TEXTS)
    assert (chances == classifier.probabilities(TEXTS)).all()
    assert (chances != latest).any()


def test_a_link_that_moves_while_a_model_is_loaded_mixes_no_two(
    trained: Trained, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run that ends moves ``models/latest``."""
    (tmp_path / "other").mkdir()
    other = write_random_bundle(tmp_path / "other")
    link = tmp_path / LATEST
    link.parent.mkdir()
    link.symlink_to(trained.bundle)

    def check(folder: Path) -> str:
        digest = bundle_digest(folder)
        link.unlink()
        link.symlink_to(other)
        return digest

    monkeypatch.setattr("sentiment.model.bundle.check_bundle", check)
    loaded = Classifier.load(link)
    assert (loaded.probabilities(TEXTS) == classifier.probabilities(TEXTS)).all()


@pytest.mark.parametrize("nothing", [[], (), iter(())])
def test_no_text_gives_no_probability(classifier: Classifier, nothing: list[str]) -> None:
    chances = classifier.probabilities(nothing)
    assert chances.shape == (0,)
    assert chances.dtype == np.float64
    assert classifier.predict(nothing) == []


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u3000"])
def test_a_text_without_words_has_a_probability(classifier: Classifier, text: str) -> None:
    alone = classifier.probabilities([text])
    assert 0 < alone[0] < 1
    beside = classifier.probabilities([TEXTS[0], text, TEXTS[1]])
    assert beside[1] == pytest.approx(alone[0], abs=1e-5)


def test_a_probability_does_not_depend_on_the_other_texts(classifier: Classifier) -> None:
    long = " ".join(["and so on"] * 100)
    many = [text for _, text in made_up_reviews(255, seed=22)]
    for text in TEXTS[:10]:
        alone = classifier.probabilities([text])[0]
        among = classifier.probabilities([*many, text])
        assert among.shape == (256,)
        assert abs(among[-1] - alone) <= 1e-5
        assert abs(classifier.probabilities([long, text])[1] - alone) <= 1e-5


def test_more_texts_than_a_batch(classifier: Classifier) -> None:
    many = classifier.probabilities(TEXTS * 20)
    assert many.shape == (800,)
    np.testing.assert_allclose(many, np.tile(classifier.probabilities(TEXTS), 20), atol=1e-5)


def test_words_past_the_longest_length_are_not_read(classifier: Classifier) -> None:
    lamps, dreadful = "lamp " * 20, "dreadful " * 20  # together the bundle's max_length
    kept, cut = classifier.probabilities([lamps * 2, lamps * 2 + dreadful])
    assert cut == pytest.approx(kept, abs=1e-6)
    (read,) = classifier.probabilities([lamps + dreadful])
    assert kept - read > 0.1


def test_the_evaluation_gives_the_same_probabilities(
    classifier: Classifier, trained: Trained, tmp_path: Path
) -> None:
    evaluate_model(
        sorted(trained.bundle.iterdir()),
        trained.test_tensors,
        trained.test_tokens,
        trained.test_reviews,
        evaluate=EvaluateConfig(),
        out=tmp_path,
    )
    evaluated = pq.read_table(tmp_path / "predictions.parquet")["probability"].to_numpy()
    texts = [text for shard in trained.test_reviews for _, _, text in rows_of(shard)]
    np.testing.assert_allclose(classifier.probabilities(texts), evaluated, rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_the_threshold_counts_as_positive(classifier: Classifier, threshold: float) -> None:
    chances = classifier.probabilities(TEXTS)
    expected = ["positive" if chance >= threshold else "negative" for chance in chances]
    assert classifier.predict(TEXTS, threshold) == expected
    exact = float(chances[0])
    assert classifier.predict(TEXTS, exact)[0] == "positive"


def test_a_bundle_can_move(trained: Trained, classifier: Classifier, tmp_path: Path) -> None:
    moved = shutil.copytree(trained.bundle, tmp_path / "elsewhere")
    (moved / "history.parquet").unlink()  # nothing that is needed to score
    again = Classifier.load(str(moved)).probabilities(TEXTS)
    assert (again == classifier.probabilities(TEXTS)).all()


def test_a_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model bundle"):
        Classifier.load(tmp_path)


def test_unusual_texts_are_scored(classifier: Classifier) -> None:
    texts = ["\x00", "\ue000", "\N{FIRE}" * 300, "http://shop.example/" + "x" * 5_000, "_PAD _UNK"]
    chances = classifier.probabilities(texts)
    assert ((chances > 0) & (chances < 1)).all()


def test_a_text_that_is_not_unicode_is_named(classifier: Classifier) -> None:
    with pytest.raises(DataError, match=r"texts\[1\].*half of a surrogate pair.*'caf.udce9 bad'"):
        classifier.probabilities(["fine", "caf\udce9 bad"])


def test_the_model_is_not_changed_by_use(trained: Trained) -> None:
    bundle = Bundle.load(trained.bundle)
    classifier = Classifier(bundle)
    first = classifier.probabilities(TEXTS)
    assert (classifier.probabilities(TEXTS) == first).all()
    assert not bundle.model.training


@pytest.mark.parametrize(
    "code",
    [
        "import sentiment; sentiment.__version__; assert not loaded('torch', 'prefect', 'nltk')",
        "from sentiment import Classifier; assert not loaded('prefect', 'flows', 'tasks', "
        "'matplotlib', 'typer', 'rich', 'nltk', 'pandas', 'sklearn')",
    ],
)
def test_an_import_loads_no_more_than_it_needs(code: str) -> None:
    helper = "import sys\ndef loaded(*names): return any(name in sys.modules for name in names)\n"
    done = subprocess.run(
        [sys.executable, "-c", helper + code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_package_has_no_other_names() -> None:
    import sentiment

    with pytest.raises(AttributeError, match="no attribute 'classifer'"):
        _ = sentiment.classifer  # type: ignore[attr-defined]


def test_the_bundles_threshold_decides_unless_another_is_given(tmp_path: Path) -> None:
    bundle = write_random_bundle(tmp_path)
    assert Classifier.load(bundle).threshold == 0.5
    chances = Classifier.load(bundle).probabilities(TEXTS)
    middle = float(np.median(chances))
    classifier = Classifier.load(with_settings(bundle, threshold=middle))
    assert (classifier.probabilities(TEXTS) == chances).all()
    for threshold in (None, 0.5, middle):
        at = middle if threshold is None else threshold
        expected = ["positive" if p >= at else "negative" for p in chances]
        assert classifier.predict(TEXTS, threshold) == expected
    assert len(set(classifier.predict(TEXTS))) == 2


def test_a_bundle_of_an_older_version_has_half_and_real_reviews(tmp_path: Path) -> None:
    bundle = with_settings(write_random_bundle(tmp_path), threshold=None, generated=None)
    classifier = Classifier.load(bundle)
    assert (classifier.threshold, classifier.generated) == (0.5, False)


def test_loading_a_model_of_generated_reviews_warns(tmp_path: Path) -> None:
    bundle = with_settings(write_random_bundle(tmp_path), generated=True)
    with pytest.warns(UserWarning, match="was trained on generated reviews") as caught:
        assert Classifier.load(bundle).generated
    assert [warning.filename for warning in caught] == [__file__]
