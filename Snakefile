# The DLAS study: from images to verdicts, one rule file per layer of the stack.


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/models.smk"
include: "rules/compression.smk"
include: "rules/compiler.smk"
include: "rules/hardware.smk"
include: "rules/analysis.smk"


# Open as long as this process lives. What a killed one left behind is no lock any more: its study goes on without --unlock.
alive = locks.take(Path(".snakemake"))


if not workflow.dryrun and Path("results").exists() and not os.access("results", os.W_OK):
    sys.exit("error: results/ cannot be written to; allowed: a folder that the study may write to")


report: "report/study.rst"


# No limit of jobs per second on this machine. For it Snakemake plans another round of its scheduler some time after each
# round, beside those that finished jobs start: they pile up to tens or hundreds a second, which cost minutes of a core and
# run beside the timings.
onstart:
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


rule all:
    default_target: True
    input:
        study.path("study"),
        study.path("noise_floor"),
        study.path("peers"),
        study.path("provenance"),
        study.path("observations"),
        observations("plot", extension=list(study.PLOT_EXTENSIONS)),
        [
            study.path(figure, extension=extension)
            for figure in study.FIGURES
            for extension in study.PLOT_EXTENSIONS
        ],
        [study.path("summary_table", table=table) for table in study.SUMMARY_TABLES],
        study.path("recommendation"),
