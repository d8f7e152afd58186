"""Allocation of the next trials to the task with the largest expected gain for the network.

This is the gradient of Ansor's task scheduler (Zheng et al., "Ansor: Generating High-Performance
Tensor Programs for Deep Learning", OSDI 2020, section 6), as MetaSchedule uses it: without the term
for similar tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Number of batches that the gradient looks back.
WINDOW = 3
# Weight of the recent improvement. The rest is the guess that as many batches again could save the
# whole latency.
RECENT = 0.2


@dataclass
class Progress:
    """The progress of a task.

    Attributes
    ----------
    calls : int
        How often the network runs its kernel.
    best : list of float
        Best latency in seconds after each batch.
    closed : bool
        Whether its trials are over: its limit is reached or its space is exhausted.
    """

    calls: int
    best: list[float] = field(default_factory=list)
    closed: bool = False

    def gain(self) -> float:
        """Return the latency of the network in seconds that one more batch is expected to save.

        calls x best latency x (RECENT x relative improvement per batch in the window + (1 - RECENT)
        / batches)
        """
        now, batches = self.best[-1], len(self.best)
        back = min(WINDOW, batches - 1)
        improvement = max(0.0, self.best[-1 - back] / now - 1) / back if back else 0.0
        return self.calls * now * (RECENT * improvement + (1 - RECENT) / batches)


def next_task(tasks: Sequence[Progress]) -> int | None:
    """Return the number of the task to try next, None if all are closed.

    Each task gets one batch first. Then the task with the largest gain is next.
    """
    numbers = [number for number, task in enumerate(tasks) if not task.closed]
    fresh = [number for number in numbers if not tasks[number].best]
    if fresh:
        return fresh[0]
    return max(numbers, key=lambda number: tasks[number].gain(), default=None)
