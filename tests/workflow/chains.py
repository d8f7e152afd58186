"""The jobs that depend on each part of the smoke study."""

# The smoke study has two networks, one of them on one of two platforms, three primitives and five techniques: none,
# weight pruning with two levels, compiled in CSR too, channel pruning, float16 and int8 with one each. Auto-scheduled
# is one primitive on one network and platform: of none, and of weight pruning in both formats.
VERDICTS = {"assess_observation": 13, "tabulate_observations": 1, "draw_observation": 13}
ACROSS = {
    "trace_rows": 1,
    "tabulate_summary": 3,
    "recommend": 1,
    "draw_pareto": 1,
    "draw_roofline": 1,
}
FIGURES = {f"draw_{name}": 1 for name in "overview curves tuning pareto roofline".split()}
# The tables and the recommendation have their names and their order from the figures.
FIGURES |= {"draw_observation": 13, "tabulate_summary": 3, "recommend": 1}
MEASURED = {"time_libraries": 2, "tabulate_study": 1, "draw_overview": 1} | VERDICTS | ACROSS
EVERY_TIMING = MEASURED | {"time_libraries": 3}
CURVES = {"tabulate_curves": 1, "draw_curves": 1}
TUNED = {"tabulate_tuning": 1, "draw_tuning": 1}


def checked(techniques):
    return {"check_libraries": 3 * techniques} | EVERY_TIMING


def compiled(techniques, sparse=0, tuned=0):
    """Of so many techniques, `sparse` are compiled in CSR as well and `tuned` libraries are auto-scheduled."""
    libraries = {"build_library": 9 * (techniques + sparse) + tuned} | checked(techniques)
    return libraries | ({"tune_network": tuned} | TUNED if tuned else {})


def imported(techniques, sparse=0, tuned=0):
    return {"import_network": 2 * techniques} | compiled(techniques, sparse, tuned)


EXPORTED = {"export_network": 2}  # where the uncompressed networks are new


def chosen(techniques, sparse=0, tuned=0):
    return {"choose_level": 2 * techniques} | CURVES | imported(techniques, sparse, tuned)


def compressed(levels, techniques, sparse=0, tuned=0):
    return {"compress_model": 2 * levels} | chosen(techniques, sparse, tuned)


def auto_scheduled(libraries, techniques):
    """Of so many techniques of the one network on the one platform on which it is tuned."""
    built = {"tune_network": libraries, "build_library": libraries, "check_libraries": techniques}
    return built | MEASURED | {"time_libraries": 1} | TUNED


def less(techniques):
    """Of so many techniques, a library or more of one network on one platform is left out."""
    return {"check_libraries": techniques} | MEASURED | {"time_libraries": 1}


def of_digits(levels, techniques):
    """Its one network, on the one platform that takes it, weight pruning among the techniques."""
    return (
        {"compress_model": levels, "choose_level": techniques, "import_network": techniques}
        | {"build_library": 3 * (techniques + 1), "check_libraries": techniques}
        | CURVES
        | MEASURED
        | {"time_libraries": 1}
    )


TRAINED = {"train_model": 2} | compressed(6, 5, sparse=1, tuned=3) | EXPORTED
