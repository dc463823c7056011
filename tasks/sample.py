"""Generated reviews, made once for each setting and kept like a stage's result."""

from sentiment.data.sample import SampleConfig
from tasks.stage import Request, Stage

STAGE = Stage("sample", "sentiment.data.sample:write_sample_reviews", reads=())


def requests(config: SampleConfig) -> list[Request]:
    return [Request(STAGE, "reviews", {}, {"sample": config})]
