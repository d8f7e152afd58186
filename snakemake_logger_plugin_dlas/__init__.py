"""A logger of Snakemake with one line for each finished job: `python -m snakemake --logger dlas`.

A line has the jobs done, the job, its duration and the time left. Failed jobs are listed with
their reasons at the end. Snakemake's own log, with everything else, is in a file that is named at
the start. `make study` uses this logger.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Messages of Snakemake below a warning that matter to a person.
SHOWN = ("Nothing to be done", "Terminating processes", "Trying to restart job")
# Messages of Snakemake about jobs that failed. This logger has a line for each.
SUMMARIES = (
    "Exiting because a job",
    "RuleException:\nCalledProcessError in file",
    "WorkflowError:\nAt least one job did not complete",
)


@dataclass(frozen=True)
class Job:
    """A job that has started, at a time in seconds."""

    rule: str
    wildcards: tuple[str, ...]
    log: tuple[str, ...]
    start: float

    def __str__(self) -> str:
        return " ".join([self.rule.replace("_", " "), "/".join(self.wildcards)]).strip()

    def reason(self) -> str:
        """Return why the job failed, by its log: the last error, or the end of a traceback."""
        files = [Path(file) for file in self.log if Path(file).is_file()]
        if not files:
            return "it wrote no log; a line above may say more"
        text = files[0].read_text(errors="replace")
        if text.rstrip().endswith(" INFO interrupted"):
            return "interrupted"
        _, _, error = text.rpartition(" ERROR ")
        first, *rest = [line for line in error.splitlines() if line.strip()] or [""]
        reason = rest[-1] if first == "failed" and rest else first
        if " ERROR " not in text:
            reason = "its log has no error: the job was killed, perhaps for want of memory"
        return f"{reason} ({files[0]})"


class LogHandler(LogHandlerBase):
    """Print the progress of a study to a terminal or a file."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.waiting: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.done = self.total = 0
        self.start = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Print the lines of a record."""
        try:
            for line in self.lines(record):
                stream = sys.stdout if self.common_settings.stdout else sys.stderr
                print(line, file=stream, flush=True)
        except Exception:
            self.handleError(record)

    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        """Return the lines to print for a record of Snakemake."""
        event = getattr(record, "event", None)
        fields = vars(record)
        if self.common_settings.dryrun:
            if (text := self.format(record)) and text != "None":
                yield text
        elif event == LogEvent.RUN_INFO:
            yield from self.begin(fields["stats"], record.created)
        elif event == LogEvent.JOB_INFO:
            self.jobs[fields["jobid"]] = Job(
                fields["rule_name"],
                tuple(map(str, fields["wildcards"].values())),
                tuple(fields["log"]),
                record.created,
            )
        elif event == LogEvent.JOB_FINISHED:
            yield self.finish(fields["job_id"], record.created)
        elif event == LogEvent.JOB_ERROR:
            job = self.failed[fields["jobid"]] = self.jobs[fields["jobid"]]
            yield f"failed: {job}: {job.reason()}"
        elif event == LogEvent.ERROR or event is None:
            yield from self.message(record)

    def begin(self, stats: Mapping[str, int], now: float) -> Iterator[str]:
        """Note how many jobs of each rule there will be."""
        self.start, self.total = now, stats["total"]
        self.waiting = Counter({rule: n for rule, n in stats.items() if rule != "total"})
        files = [
            handler.baseFilename
            for handler in logging.getLogger("snakemake.logging").handlers
            if isinstance(handler, logging.FileHandler)
        ]
        yield f"{self.total} jobs; full log: {', '.join(files) or 'none'}"

    def finish(self, number: int, now: float) -> str:
        """Note that a job has finished, and return its line."""
        job = self.jobs[number]
        self.failed.pop(number, None)
        seconds = now - job.start
        self.seconds.setdefault(job.rule, []).append(seconds)
        self.waiting[job.rule] -= 1
        self.done += 1
        line = f"[{self.done:{len(str(self.total))}}/{self.total}] {job} ({duration(seconds)})"
        left = self.left(now)
        return line if left is None else f"{line}; about {duration(left)} left"

    def left(self, now: float) -> float | None:
        """Estimate the seconds left, once half of the waiting jobs are of rules that have run.

        Each job is expected to take as long as those of its rule took so far.
        """
        known = {rule: sum(each) / len(each) for rule, each in self.seconds.items()}
        waiting = self.waiting.total()
        if not waiting or 2 * sum(self.waiting[rule] for rule in known) < waiting:
            return None
        spent = sum(map(sum, self.seconds.values()))
        rest = sum(n * known.get(rule, spent / self.done) for rule, n in self.waiting.items())
        # Jobs run side by side.
        return rest * min(1, (now - self.start) / max(spent, 1e-9))

    def message(self, record: logging.LogRecord) -> Iterator[str]:
        """Return a message that is of no job, unless it only matters in the full log."""
        text = record.getMessage()
        shown = record.levelno >= logging.WARNING or getattr(record, "study", False)
        if (shown or text.startswith(SHOWN)) and not text.startswith(SUMMARIES):
            yield text

    def close(self) -> None:
        """List the jobs that failed. Snakemake calls this more than once."""
        failed, self.failed = self.failed, {}
        if failed:
            print(f"{len(failed)} of {self.total} jobs failed:", file=sys.stderr)
        for job in failed.values():
            print(f"  {job}: {job.reason()}", file=sys.stderr)
        super().close()


def duration(seconds: float) -> str:
    """Return a duration in the units that a person would use."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
