"""The study of a typed config: its configurations, the settings of its rules, and its files.

- `paths`: every artifact's path
- `grid`: the configurations, networks, platforms and jobs
- `pipelines`: the steps of a compression, its levels, and the start of each level
- `files`: the files that jobs read
- `descriptions`: the plugins' properties that figures and pages show
- `bundles`: tables packed for other studies, and taken from them
- `settings`: the parts of the config that each rule depends on
- `combinations`: checks that the parts of a config fit together
- `closing`: the last lines of a finished study
"""

from dlas.config import PUBLISHED, TRAIN, Config
from dlas.study import descriptions
from dlas.study.bundles import (
    bundle_inputs,
    bundled_tables,
    compared_modules,
    machine_platforms,
    network_terms,
    packing,
    reading,
)
from dlas.study.closing import closing_lines
from dlas.study.combinations import (
    check_combinations,
    image_size,
    load,
)
from dlas.study.files import (
    answers,
    artifacts,
    combined_tunings,
    libraries,
    network_files,
    prepared,
    row_files,
    sample_files,
    slow_libraries,
    timed_files,
    timed_platforms,
    traced_rows,
    tunings,
)
from dlas.study.grid import (
    UNTUNED,
    Configuration,
    agrees,
    bundles,
    choices,
    compiled,
    configurations,
    machines,
    measured_platforms,
    networks,
    pairs,
    peers,
    platforms,
    searches,
    selectors,
    timing_jobs,
    timings,
    tuned_choices,
    tuning_jobs,
    tunings_shown,
)
from dlas.study.paths import (
    BUNDLED_TABLES,
    FIGURES,
    PATHS,
    PLOT_EXTENSIONS,
    SUMMARY_TABLES,
    path,
)
from dlas.study.pipelines import (
    BASELINE,
    SINGLE,
    dtype,
    level_name,
    levels,
    modules,
    own_levels,
    parent,
    previous,
    sparse,
    start,
    steps,
)
from dlas.study.settings import (
    board_counts,
    boards,
    canonical,
    check,
    compiled_for,
    connection,
    downloads,
    fine_tuning,
    from_torchvision,
    give_up,
    gpus,
    has_ladder,
    library_modules,
    linker,
    observation_category,
    observation_label,
    observation_module,
    observation_modules,
    platform,
    preparation,
    preparing_threads,
    published,
    recipe,
    runtimes,
    start_steps,
    stem,
    technique,
    tolerance,
    top1_floors,
    tuning,
    untrained,
    value,
    weights,
)
