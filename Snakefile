# The DLAS study: from images to verdicts, one rule file per layer of the stack.

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/models.smk"
include: "rules/compression.smk"
include: "rules/compiler.smk"
include: "rules/hardware.smk"
include: "rules/analysis.smk"


report: "report/study.rst"


# Hooks do not run in a dry run, which needs no rights.
onstart:
    if Path("results").exists() and not os.access("results", os.W_OK):
        sys.exit(
            "error: results/ cannot be written to; allowed: a folder that the study may write to"
        )
    # Snakemake limits jobs per timespan. Each round of its scheduler then starts a timer for another round, which starts
    # one too: hundreds of rounds a second in the end, minutes of a core beside the timings. No option turns this off. A
    # long timespan (--max-jobs-per-timespan) makes rounds rare, but Snakemake waits for the last timer before it exits.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


# The rows that are not ok are the last that is said of a study.
onsuccess:
    summary = Path(study.path("status_summary"))
    if summary.exists():
        print(summary.read_text(), end="", file=sys.stderr)


rule all:
    default_target: True
    input:
        RESULTS,
        study.path("status_summary"),
