"""Shared by all scripts: logging, one-line errors for bad input, and the path of the resume file.

Import it first: it disables the garbage collector until the job starts. Imported objects stay
alive, and collecting during imports takes up to a fifth of a short job.
"""

import gc
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlas import files, provenance
from dlas.errors import StudyError

gc.disable()

# Ctrl-C and a closed terminal signal every process of the terminal.
INTERRUPTS = (signal.SIGINT, signal.SIGHUP)
for interrupt in INTERRUPTS:
    # Imports have nothing to clean up.
    signal.signal(interrupt, signal.SIG_DFL)

logger = logging.getLogger("dlas")


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run one job: its messages and the traceback of an error go to the rule's log file.

    A StudyError is bad input: it gives one line on stderr and in the log, and exit status 1. The
    workflow reports an interruption. Progress bars stay on stderr. A rule with an output
    `provenance` gets a record there of the inputs, parameters and versions behind its other
    outputs.
    """
    for interrupt in INTERRUPTS:
        signal.signal(interrupt, signal.default_int_handler)
    # Imported objects live as long as the process.
    gc.freeze()
    gc.enable()
    logging.basicConfig(
        filename=snakemake.log[0],
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    logger.info("%s %s", snakemake.rule, dict(snakemake.wildcards.items()))
    for output in snakemake.output:
        files.remove_stale(output)
    start = time.perf_counter()
    try:
        yield
        seconds = time.perf_counter() - start
        if record := snakemake.output.get("provenance"):
            outputs = [output for output in snakemake.output if output != record]
            inputs, params = list(snakemake.input), dict(snakemake.params.items())
            made = provenance.record(snakemake.rule, inputs, outputs, params, seconds)
            files.write_json(record, made)
    except StudyError as error:
        logger.error("%s", error)
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        logger.info("interrupted")
        sys.exit(128 + signal.SIGINT)
    except BaseException:
        logger.exception("failed")
        raise
    logger.info("finished in %.1f s", seconds)


def resume_file(snakemake: Any) -> Path:
    """Return the path of the job's resume file.

    It contains the code hash, so state written by other code is never resumed.
    """
    return Path(f"{snakemake.params.resume_from}-{snakemake.params.code[:16]}.pt")
