"""Scoring takes no more memory for more rows."""

import gzip
from pathlib import Path

from benchmarks.support.machine import in_fresh_process, peak_memory
from sentiment.model.texts import WINDOW
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.score_files import score_files
from tests.support.bundles import Trained

TEXT = f"A lovely lamp {'x' * 6_000}\n".encode()  # long, but few words: quick to score


def growth(few: Path, many: Path, out: Path, model: Path, config: ScoreConfig) -> int:
    """Return by how many bytes this process's peak grows when the second file is scored too."""
    peaks = []
    for file in (few, many):
        score_files([file], out, model=model, config=config)
        peaks.append(peak_memory())
    return peaks[1] - peaks[0]


def test_four_times_the_rows_take_no_more(trained: Trained, tmp_path: Path) -> None:
    rows = 3 * WINDOW  # so that what is kept between windows is there already
    files = [tmp_path / "few.txt.gz", tmp_path / "many.txt.gz"]
    for file, times in zip(files, (1, 4), strict=True):
        with gzip.open(file, "wb", compresslevel=1) as target:
            target.writelines([TEXT] * (rows * times))
    config = ScoreConfig(chunk_size=2 * WINDOW, with_text=True)  # windows in a part, and parts
    grown = in_fresh_process(growth, *files, tmp_path / "out", trained.bundle, config)
    assert grown < len(TEXT) * rows * 3 / 4  # a quarter of the further texts themselves
