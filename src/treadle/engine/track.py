"""How far one step of a run is: its states, and which may follow which; pure

The machine alone changes a track; drivers and tests read it.
"""

from __future__ import annotations

from collections.abc import Sequence

from treadle.plan.model import UNKNOWN_KEY, Step, step_key

# -- states ------------------------------------------------------------------------------------------------------

WAITING, READY, RUNNING, RETRYING = "waiting", "ready", "running", "retrying"
#: its launch was put off by the driver, which says when it may be tried again
POSTPONED = "postponed"
SUCCEEDED, FAILED, SKIPPED, ABANDONED, EXPANDED = "succeeded", "failed", "skipped", "abandoned", "expanded"
EXCLUDED = "excluded"

#: a step in one of these will not run any more; ABANDONED is below a failure, EXPANDED became its branches, EXCLUDED
#: is no part of this run, and its parents know nothing of it either
ENDED = frozenset((SUCCEEDED, FAILED, SKIPPED, ABANDONED, EXPANDED, EXCLUDED))

ALLOWED = {
    # to SUCCEEDED only where a parent run knows the step
    WAITING: (READY, SKIPPED, ABANDONED, EXPANDED, EXCLUDED, SUCCEEDED),
    READY: (RUNNING,),
    RUNNING: (SUCCEEDED, FAILED, RETRYING, POSTPONED),
    RETRYING: (READY,),
    POSTPONED: (READY,),
}


class Track:
    """How far one step is. The machine alone writes here."""

    __slots__ = (
        "attempts", "branches", "dependents", "interruptions", "key", "mapping_keys", "number", "produced", "run_id",
        "state", "step", "waiting_for",
    )  # fmt: skip

    def __init__(self, step: Step, mapping_keys: tuple[str, ...], number: int) -> None:
        self.step = step
        self.mapping_keys = mapping_keys
        #: `path[key]...`; a step whose fan-out is not known yet has `[?]` in it and stands for all its branches
        self.key = step_key(step.path, mapping_keys) if mapping_keys else step.path
        #: place in the plan, for steps that become ready at the same time
        self.number = number
        self.state = WAITING
        #: attempts begun, and how many of them ended because their process did
        self.attempts = 0
        self.interruptions = 0
        #: the run that holds the values, where it is a parent of this one
        self.run_id: str | None = None
        #: how many steps upstream have not ended
        self.waiting_for = 0
        #: tracks that wait for this one
        self.dependents: list[Track] = []
        #: outputs of the last attempt: None, or the mapping keys of a dynamic one, in order
        self.produced: dict[str, list[str] | None] = {}
        #: of an EXPANDED track: its branches, in the order of the mapping keys
        self.branches: Sequence[Track] = ()

    @property
    def is_template(self) -> bool:
        """True while the step stands for branches that are not known yet."""
        return UNKNOWN_KEY in self.mapping_keys


class InvalidTransition(Exception):
    """A fault of ours: a step was to go where it cannot go. The message tells the step's story."""

    def __init__(self, track: Track, to: str) -> None:
        super().__init__(
            f"Step {track.key!r} cannot go from {track.state} to {to} (attempts: {track.attempts}, waiting for: "
            f"{track.waiting_for}, produced: {sorted(track.produced)})."
        )
