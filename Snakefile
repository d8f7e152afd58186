# The DLAS study: from images to verdicts, one rule file per layer of the stack.

import os
import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.27")

# The folder of this file. The study may run in another one, and as a module of another workflow.
if not workflow.current_basedir.is_local:
    sys.exit(
        "error: the Snakefile is not on this machine's disk; allowed: one in a clone of the project"
    )
ROOT = Path(workflow.current_basedir)
# Snakemake takes braces for wildcards; colons separate folders in variables.
if {*"{}:\n"} & {*str(ROOT)}:
    sys.exit(
        f"error: the path of the study, {str(ROOT)!r}, has a brace, a colon or a line break; "
        "allowed: any other character"
    )
# A dry run leaves nothing here.
sys.dont_write_bytecode = workflow.output_settings.dryrun


if workflow.modifier.is_main_snakefile():

    configfile: str(ROOT / "config.yaml")


include: "rules/looking.smk"
include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/models.smk"
include: "rules/compression.smk"
include: "rules/compiler.smk"
include: "rules/hardware.smk"
include: "rules/analysis.smk"
include: "rules/bundles.smk"


report: "report/study.rst"


# Hooks do not run in a dry run, which needs no rights.
onstart:
    if LOOKED_AT:
        sys.exit(
            f"error: {LOOKED_AT} cannot be written to; allowed: to look at it (--dry-run, "
            "--summary, --report), or --directory with another folder"
        )
    place = "results" if os.path.lexists("results") else "."
    if not os.access(place, os.W_OK):
        sys.exit(
            "error: results/ cannot be written to; allowed: a folder that the study may write to"
        )
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        sys.exit(
            "error: results/ is on a file system that is mounted noexec, and compiled networks "
            "cannot be loaded from there; allowed: a folder on another one, or a link to it"
        )
    # Snakemake limits jobs per timespan. Each round of its scheduler then starts a timer for
    # another round: hundreds of rounds a second in the end, minutes of a core beside the timings.
    # No option turns this off. A long timespan (--max-jobs-per-timespan) makes rounds rare, but
    # Snakemake then waits for the last timer before it exits.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    share_records()
    for line in study.closing_lines(workflow.dag_settings.targets or {"all"}):
        logger.info(line, extra={"study": True})


onerror:
    share_records()
    logger.error(
        "The study is not complete: finished artifacts are kept, and the same command goes on."
    )


rule all:
    default_target: True
    input:
        RESULTS,
        study.path("status_summary"),
