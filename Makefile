# make TARGET [VARIABLE=value ...]. It makes the environment .venv from exact pins where needed.
#
# The study
#   demo              a first figure in one minute -> demo/
#   study             the study on the embedded data -> results/, plots/  CONFIG= CORES=
#   report            report.html from the finished study                 CONFIG=
#   explore           results/explore.html, opened where there is a screen
#   estimate          how long a study takes, its disk and memory         CONFIG= ESTIMATE=
#   bundle            pack a platform's measurements for other studies    NAME= PLATFORM=
#   networks          pack the trained networks for other machines        CONFIG=
#   check-bundle      check bundles/NAME, or all bundles                  NAME=
#
# Checks
#   test              the test suite                                      PYTEST=
#   lint              style and types of the code, style of the workflow
#   check-plugin      the tests of one plugin                             KIND= NAME= CONFIG=
#   test-boards       emulated Arm boards and OpenCL GPUs
#   test-cuda         every network compiled for CUDA, without a GPU
#   test-cluster      the smoke study through a real Slurm on this machine
#   test-draws        the error rates of the verdicts, on 1,000 tables each
#   test-faults       the smoke study, killed 20 times
#   rehearsal         the paper's study on little data: half an hour
#
# Benchmarks
#   bench             the primitives against five other runtimes          TRIALS= NETWORKS=
#   bench-gpu         the primitives against PyTorch on an NVIDIA GPU     GPU=
#   bench-kernels     the convolutions one by one, dense and sparse       KERNELS=
#   bench-schedulers  the ways to schedule one network side by side       SCHEDULERS=
#   bench-training    how long the trainings of a config take             CONFIG= TRAINING=
#
# Upkeep
#   docs              the documentation site -> site/index.html
#   docs-reference    config/schema.json and the generated pages of docs/reference/
#   docs-results      docs/results/verdicts.md, pictures, README findings  STUDIES=
#   environments      envs/*.yaml from requirements.txt
#   clean             remove what can be made again; asks before what took hours
#
# CONFIG=FILE overlays config.yaml, e.g. config/smoke.yaml. CORES=N limits the cores. PYTEST,
# ESTIMATE, GPU, KERNELS, NETWORKS, SCHEDULERS and TRAINING hold more options of the command.
# PYTHON=python3.12 names the Python (at least 3.11) of a new environment.

PYTHON ?= python3
CORES  ?= all
CONFIG ?=
PYTEST ?=
KERNELS ?=
SCHEDULERS ?=
NETWORKS ?=
ESTIMATE ?=
KIND    ?=
NAME    ?=
PLATFORM ?=
GPU     ?=
TRAINING ?=
STUDIES ?=
TRIALS  ?= 0

, := ,
VENV      := .venv
SNAKEMAKE := $(VENV)/bin/python -m snakemake
PARALLEL  := $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadgroup --durations 12

# The targets of the list above, where three spaces and a name begin a line.
TARGETS := help $(shell sed -n '/^$$/q; s/^\#   \([a-z-]*\)  .*/\1/p' Makefile)
.PHONY: $(TARGETS)
ifneq ($(filter-out $(TARGETS) $(VENV)/%,$(MAKECMDGOALS)),)
$(error unknown target $(filter-out $(TARGETS) $(VENV)/%,$(MAKECMDGOALS)); known: $(TARGETS))
endif

# The value of the variable $(1), if the regular expression $(2) allows it. $(3) names what does.
allowed = $(or $(shell printf '%s\n' '$(subst ','\'',$($(1)))' | grep -Ex '$(2)'),\
  $(error $(1) is '$($(1))'; allowed: $(3)))
overlay = $(or $(if $(wildcard $(1)/.),,$(wildcard $(1))),\
  $(error CONFIG: $(1) does not exist or is a folder; allowed: files such as $(OWN)))
OWN      := $(wildcard config/*.yaml)
CORES    := $(call allowed,CORES,all|[1-9][0-9]*,all or an integer of at least 1)
OVERLAYS := $(foreach file,$(CONFIG),$(call overlay,$(file)))
OPTIONS  := --cores $(CORES) $(if $(CONFIG),--configfile $(OVERLAYS))
ifneq ($(filter bundle check-plugin,$(MAKECMDGOALS)),)
LETTERS  := lower-case letters, digits and underscores, a letter first
NAME     := $(call allowed,NAME,[a-z][a-z0-9_]*,$(LETTERS))
endif
ifneq ($(filter check-plugin,$(MAKECMDGOALS)),)
KINDS    := dataset|model|compression|primitive|format|tuning|runtime|connection|observation
KIND     := $(call allowed,KIND,$(KINDS),$(subst |,$(,) ,$(KINDS)))
endif

# First lines of recipes. Each ends with one line if something is missing.
check_config = $(if $(CONFIG),@$(VENV)/bin/python -m dlas.config $(OVERLAYS))
check_study  = @[ -e results/study.csv ] || \
  { echo 'error: results/study.csv does not exist; allowed: after make study' >&2; exit 2; }
# The last line of a recipe: the path of a file, which is opened where there is a screen.
show = @echo "$$PWD/$(1)"; [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] || \
  $(VENV)/bin/python -m webbrowser "file://$$PWD/$(1)"

.DELETE_ON_ERROR:

# Variables of Python that a user has set, such as PYTHONPATH or PYTHONHOME, are for other programs.
unexport $(filter PYTHON%,$(.VARIABLES))

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

# In a folder of its own, so that it is never taken for the study.
demo: $(VENV)/study
	@$(SNAKEMAKE) --logger dlas --cores $(CORES) --configfile config/demo.yaml --directory demo \
	  -- plots/latency.png results/recommendation.csv
	$(call show,demo/plots/latency.png)

study: $(VENV)/study
	$(check_config)
	$(SNAKEMAKE) all $(OPTIONS) --logger dlas

estimate: $(VENV)/study
	@$(VENV)/bin/python -m benchmarks.estimate $(OPTIONS) $(ESTIMATE)

bundle: $(VENV)/study
	$(check_config)
	$(check_study)
	$(SNAKEMAKE) bundles/$(NAME) $(OPTIONS) --logger dlas \
	  $(if $(PLATFORM),--config "bundle={platform: $(PLATFORM)}")

networks: $(VENV)/study
	$(check_config)
	$(SNAKEMAKE) results/networks.zip $(OPTIONS) --logger dlas

check-bundle: $(VENV)/study
	@$(VENV)/bin/python -m dlas.bundles.checking \
	  $(or $(NAME:%=bundles/%),$(patsubst %/,%,$(wildcard bundles/*/)))

report: $(VENV)/study
	$(check_config)
	$(check_study)
	$(SNAKEMAKE) --report report.html --report-stylesheet report/report.css $(OPTIONS)

explore: $(VENV)/study
	$(check_config)
	$(check_study)
	$(SNAKEMAKE) results/explore.html $(OPTIONS) --logger dlas
	$(call show,results/explore.html)

test: $(VENV)/test
	$(PARALLEL) $(PYTEST)

check-plugin: $(VENV)/test
	$(check_config)
	@$(VENV)/bin/python -m pytest -rs tests/plugins --plugin "$(KIND)/$(NAME)" \
	  $(if $(CONFIG),--overlay $(OVERLAYS)) $(PYTEST)

# It sets up its devices in .boards/ and keeps them.
test-boards: $(VENV)/test
	$(PARALLEL) -m "boards or not boards" --ignore tests/boards/test_cuda.py tests/boards $(PYTEST)

test-cuda: $(VENV)/test
	$(PARALLEL) -m "boards or not boards" tests/boards/test_cuda.py $(PYTEST)

test-faults: $(VENV)/test
	$(VENV)/bin/python -m pytest -m "faults or not faults" tests/workflow/test_faults.py $(PYTEST)

test-draws: $(VENV)/test
	$(PARALLEL) -m draws tests/unit/analysis/test_error_rates.py \
	  tests/unit/analysis/test_power.py $(PYTEST)

# Needs Slurm's programs (Debian: slurmctld slurmd slurm-client munge).
test-cluster: $(VENV)/test
	$(VENV)/bin/python -m pytest -m "cluster or not cluster" tests/workflow/test_cluster.py $(PYTEST)

rehearsal: $(VENV)/test
	$(VENV)/bin/python -m pytest --capture no -m "rehearsal or not rehearsal" \
	  tests/workflow/test_rehearsal.py $(PYTEST)

bench: $(VENV)/bench
	$(VENV)/bin/python -m benchmarks.networks --trials $(TRIALS) $(NETWORKS)
	$(VENV)/bin/python -m benchmarks.limits

bench-schedulers: $(VENV)/study
	$(VENV)/bin/python -m benchmarks.schedulers $(SCHEDULERS)

bench-kernels: $(VENV)/study
	$(VENV)/bin/python -m benchmarks.kernels $(KERNELS)

lint: $(VENV)/test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy dlas snakemake_logger_plugin_dlas
	$(VENV)/bin/python -m snakefmt --check Snakefile rules workflow/Snakefile
	$(VENV)/bin/python -m documentation.prose README.md CONTRIBUTING.md SECURITY.md config docs
	$(SNAKEMAKE) --lint

docs: $(VENV)/test
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet
	@echo '$(CURDIR)/site/index.html'

docs-reference: $(VENV)/study
	@$(VENV)/bin/python -m documentation.reference

# STUDIES="config.yaml=FOLDER config/beyond.yaml=FOLDER": the folders of finished studies.
docs-results: $(VENV)/test
	@$(VENV)/bin/python -m documentation.verdicts $(or $(STUDIES),.)

environments: $(VENV)/study
	$(VENV)/bin/python envs/generate.py

bench-gpu: $(VENV)/study
	$(VENV)/bin/python -m benchmarks.gpu $(GPU)

bench-training: $(VENV)/study
	$(check_config)
	$(VENV)/bin/python -m benchmarks.training $(if $(CONFIG),--configfile $(OVERLAYS)) $(TRAINING)

clean:
	rm -rf demo plots report.html site .boards build .snakemake/log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@if [ -e results ] || [ -e $(VENV) ]; then \
	  printf 'Also remove results/ (trained models, timings) and $(VENV)? [y/N] '; \
	  read -r answer; \
	  if [ "$$answer" = y ]; then rm -rf results .snakemake $(VENV); else echo 'kept'; fi; \
	fi

# One stamp for each set of requirements: made again when a file that it is made from is newer, and
# when the environment was moved or copied here, or has another Python since.
ifneq ($(file <$(VENV)/place),$(realpath $(VENV)) $(realpath $(VENV)/bin/python))
.PHONY: $(VENV)/study $(VENV)/test $(VENV)/bench
endif
$(VENV)/study: requirements.txt
	$(call install,requirements.txt)
$(VENV)/bench: requirements-bench.txt requirements.txt
	$(call install,requirements-bench.txt)
$(VENV)/test: requirements-test.txt requirements.txt
	$(call install,requirements-test.txt)

define install
	@$(PYTHON) -c 'import sys; old = sys.version_info < (3, 11); \
	  sys.exit(old and "Python >= 3.11 is needed: make PYTHON=...")'
	@$(PYTHON) -I envs/install.py $(VENV) $(1)
	@touch $@
endef
