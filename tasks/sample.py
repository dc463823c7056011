"""Stage ``sample``: generated reviews, where a run has no data folder. Not listed as a stage."""

from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage

STAGE = Stage("sample", "sentiment.data.generate:write_sample_reviews", reads=(), listed=False)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    if spec.data is not None:
        return []
    return [Request(STAGE, "reviews", {}, {"sample": spec.sample})]
