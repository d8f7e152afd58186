# make study    the whole study on the embedded data -> results/, plots/  (CORES=n, CONFIG=config/smoke.yaml)
# make estimate how long a study will take, its disk and memory            (CONFIG=config/paper.yaml, ESTIMATE="options of benchmarks.estimate")
# make test     the test suite                                            (PYTEST="options of pytest")
# make check-plugin  the tests of a kind on one plugin: KIND=primitive NAME=x  (CONFIG=overlay.yaml with its settings, PYTEST=...)
# make test-boards  the paths to Arm boards and GPUs of OpenCL, emulated (PYTEST="options of pytest")
# make test-cuda  the kernels of every network compiled for GPUs of CUDA, without one (PYTEST="options of pytest")
# make bundle   the measurements of a platform, for other studies: NAME=my_laptop  (PLATFORM=local_cpu, CONFIG=...)
# make check-bundle  what is missing or inconsistent in bundles/: NAME=my_laptop, or all
# make report   report.html from the finished study
# make explore  results/explore.html, its path; opened where there is a screen
# make test-faults  the smoke study, killed 20 times                      (PYTEST="options of pytest")
# make test-draws  how often each claim is decided by chance, and rightly, in 1,000 tables  (PYTEST="options of pytest")
# make test-cluster  the smoke study through a real Slurm, all on this machine (PYTEST="options of pytest")
# make rehearsal  the paper's study on this machine, on little data: half an hour  (PYTEST="options of pytest")
# make bench    the primitives against five other runtimes                 (TRIALS=n candidates a layer, NETWORKS="options of benchmarks.networks")
# make bench-schedulers  the ways to schedule one network beside each other   (SCHEDULERS="options of benchmarks.schedulers")
# make bench-kernels   the convolutions one by one, dense and sparse      (KERNELS="options of benchmarks.kernels")
# make bench-gpu   the primitives against PyTorch on an NVIDIA GPU         (GPU="options of benchmarks.gpu")
# make bench-training   how long the trainings of a config take here      (TRAINING="options of benchmarks.training")
# make docs-config  config/schema.json and the tables of docs/reference/configuration.md
# make lint     style and types of the code, style of the workflow
# make clean    remove what can be made again in minutes; asks before what took hours
# Each needs Python >= 3.11 alone: the environment is made in .venv, from exact pins, where it is missing or old.

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
TRIALS  ?= 0

VENV      := .venv
SNAKEMAKE := $(VENV)/bin/python -m snakemake
OVERLAYS  := $(foreach file,$(CONFIG),$(or $(wildcard $(file)),$(error CONFIG: $(file) does not exist)))
OPTIONS   := --cores $(CORES) $(if $(CONFIG),--configfile $(OVERLAYS))

.PHONY: help study estimate bundle check-bundle report explore test check-plugin test-boards test-cuda test-faults test-draws test-cluster rehearsal bench bench-schedulers bench-kernels bench-gpu bench-training docs-config lint clean
.DELETE_ON_ERROR:

# Variables of Python that a user has set, such as PYTHONPATH or PYTHONHOME, are for other programs.
unexport $(filter PYTHON%,$(.VARIABLES))

help:
	@grep '^# ' Makefile | cut -c 3-

study: $(VENV)/study
	$(SNAKEMAKE) all $(OPTIONS)

estimate: $(VENV)/study
	@$(VENV)/bin/python -m benchmarks.estimate $(OPTIONS) $(ESTIMATE)

bundle: $(VENV)/study
	$(SNAKEMAKE) bundles/$(or $(NAME),$(error NAME: say what the bundle is to be called)) $(OPTIONS) $(if $(PLATFORM),--config "bundle={platform: $(PLATFORM)}")

check-bundle: $(VENV)/study
	@$(VENV)/bin/python -m dlas.bundles.checking $(or $(NAME:%=bundles/%),$(patsubst %/,%,$(wildcard bundles/*/)))

report: $(VENV)/study
	$(SNAKEMAKE) --report report.html --report-stylesheet report/report.css $(OPTIONS)

explore: $(VENV)/study
	$(SNAKEMAKE) results/explore.html $(OPTIONS)
	@echo '$(CURDIR)/results/explore.html'
	@if [ "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(VENV)/bin/python -m webbrowser 'file://$(CURDIR)/results/explore.html'; fi

test: $(VENV)/test
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadgroup --durations 12 $(PYTEST)

# Kinds: dataset, model, compression, primitive, format, tuning, runtime, connection, observation.
check-plugin: $(VENV)/test
	@$(VENV)/bin/python -m pytest -rs tests/plugins --plugin "$(KIND)/$(NAME)" $(if $(CONFIG),--overlay $(OVERLAYS)) $(PYTEST)

# What is set up for it is kept in .boards/.
test-boards: $(VENV)/test
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadgroup --durations 12 -m "boards or not boards" --ignore tests/boards/test_cuda.py tests/boards $(PYTEST)

test-cuda: $(VENV)/test
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadgroup --durations 12 -m "boards or not boards" tests/boards/test_cuda.py $(PYTEST)

test-faults: $(VENV)/test
	$(VENV)/bin/python -m pytest -m "faults or not faults" tests/workflow/test_faults.py $(PYTEST)

test-draws: $(VENV)/test
	$(VENV)/bin/python -m pytest --numprocesses 2 -m draws tests/unit/analysis/test_error_rates.py tests/unit/analysis/test_power.py $(PYTEST)

# Needs Slurm's programs (Debian: slurmctld slurmd slurm-client munge).
test-cluster: $(VENV)/test
	$(VENV)/bin/python -m pytest -m "cluster or not cluster" tests/workflow/test_cluster.py $(PYTEST)

rehearsal: $(VENV)/test
	$(VENV)/bin/python -m pytest --capture no -m "rehearsal or not rehearsal" tests/workflow/test_rehearsal.py $(PYTEST)

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
	$(VENV)/bin/python -m mypy dlas
	$(VENV)/bin/python -m snakefmt --check Snakefile rules
	$(SNAKEMAKE) --lint

docs-config: $(VENV)/study
	$(VENV)/bin/python -m dlas.config.documentation

bench-gpu: $(VENV)/study
	$(VENV)/bin/python -m benchmarks.gpu $(GPU)

bench-training: $(VENV)/study
	$(VENV)/bin/python -m benchmarks.training $(if $(CONFIG),--configfile $(OVERLAYS)) $(TRAINING)

clean:
	rm -rf plots report.html .boards .snakemake/log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@if [ -e results ] || [ -e $(VENV) ]; then \
	  printf 'Also remove results/ (trained models, timings) and $(VENV)? [y/N] '; \
	  read -r answer; \
	  if [ "$$answer" = y ]; then rm -rf results .snakemake $(VENV); else echo 'kept'; fi; \
	fi

# One stamp for each set of requirements: made again when a file that it is made from is newer, and when the environment was moved or
# copied here, or has another Python since.
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
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=...")'
	@$(PYTHON) -I envs/install.py $(VENV) $(1)
	@touch $@
endef
