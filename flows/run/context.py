"""What the stages of a run share."""

from dataclasses import dataclass, field

from flows.run.decision import Selection
from flows.ui.reporters import Reporter
from tasks.run.spec import RunSpec
from tasks.store.run_records import RunRecord


@dataclass(frozen=True)
class RunContext:
    """What the stages of a run share.

    ``in_prefect``: they run inside a Prefect flow run, which shows them. Otherwise all that they
    need must be cached.
    """

    spec: RunSpec
    record: RunRecord
    reporter: Reporter
    selection: Selection = field(default_factory=Selection)
    verify: bool = False
    quiet: bool = False  # about cached stages
    in_prefect: bool = True
