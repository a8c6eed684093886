# Every target sets up what it needs in .venv and then runs; a second run reinstalls and rebuilds nothing.

PYTHON3 ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
TORCH := torch==2.13.0
# Installed without their dependencies, which would replace torch by another build.
TORCH_FRIENDS := torchvision==0.28.0 timm==1.0.31

MODEL ?= deit_t

# Options of the command line; each is passed on when it is set.
sim_flags = --model $(MODEL) $(strip \
  $(if $(IMAGE),--image "$(IMAGE)") \
  $(foreach picture,$(IMAGES),--image "$(picture)") \
  $(if $(REPEAT),--repeat $(REPEAT)) \
  $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
  $(if $(KEEP_BLOCKS),--keep-blocks $(KEEP_BLOCKS)) \
  $(if $(KEEP_TOKENS),--keep-tokens $(KEEP_TOKENS)) \
  $(if $(CLUSTERS),--clusters $(CLUSTERS)) \
  $(if $(GROUPS),--groups $(GROUPS)) \
  $(if $(BOARD),--board "$(BOARD)") \
  $(if $(LAYERS),--layers $(LAYERS)) \
  $(if $(ENGINE),--engine $(ENGINE)) \
  $(if $(filter-out 0,$(TRACE)),--trace) \
  $(if $(REPORT),--report "$(REPORT)"))
bench_flags = $(strip \
  $(if $(MODELS),--models $(MODELS),$(if $(filter file,$(origin MODEL)),,--model $(MODEL))) \
  $(if $(BOARD),--board "$(BOARD)") \
  $(if $(filter-out 0,$(SIMULATE)),--simulate) \
  $(if $(filter-out 0,$(QUICK)),--quick) \
  $(if $(REPORT),--report "$(REPORT)"))
train_flags = $(strip $(if $(CONFIG),--config "$(CONFIG)") $(if $(OUT),--out "$(OUT)"))
hls_flags = --model $(MODEL) $(strip \
  $(if $(IMAGE),--image "$(IMAGE)") \
  $(if $(KEEP_BLOCKS),--keep-blocks $(KEEP_BLOCKS)) \
  $(if $(KEEP_TOKENS),--keep-tokens $(KEEP_TOKENS)) \
  $(if $(CLUSTERS),--clusters $(CLUSTERS)) \
  $(if $(GROUPS),--groups $(GROUPS)) \
  $(if $(LAYERS),--layers $(LAYERS)) \
  $(if $(BOARD),--board "$(BOARD)") \
  $(if $(OUT),--out "$(OUT)"))
sizes = $(if $(CLUSTERS),--clusters $(CLUSTERS)) $(if $(GROUPS),--groups $(GROUPS))
deliverable = $(or $(OUT),out/$(MODEL)_$(BOARD))
verilog_flags = $(strip $(sizes) $(if $(BOARD),--model $(MODEL) --board "$(BOARD)" --out "$(deliverable)",$(if $(OUT),--out "$(OUT)")) \
  $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(KEEP_BLOCKS),--keep-blocks $(KEEP_BLOCKS)) $(if $(KEEP_TOKENS),--keep-tokens $(KEEP_TOKENS)))
dashboard_flags = $(strip $(if $(RUNS),--runs "$(RUNS)") $(if $(OUT),--out "$(OUT)"))
resources_flags = $(strip $(sizes) $(if $(BOARD),--board "$(BOARD)") $(if $(REPORT),--out "$(REPORT)"))

sweep_flags = $(strip \
  $(if $(CONFIG),--config "$(CONFIG)") \
  $(if $(MODELS),--models "$(MODELS)",$(if $(filter file,$(origin MODEL)),,--models $(MODEL))) \
  $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
  $(if $(KEEP_BLOCKS),--keep-blocks "$(KEEP_BLOCKS)") \
  $(if $(KEEP_TOKENS),--keep-tokens "$(KEEP_TOKENS)") \
  $(if $(CLUSTERS),--clusters "$(CLUSTERS)") \
  $(if $(GROUPS),--groups "$(GROUPS)") \
  $(if $(BOARDS),--boards "$(BOARDS)") \
  $(if $(IMAGES),--images "$(IMAGES)") \
  $(if $(SIMULATE),--simulate $(SIMULATE)) \
  $(if $(DASK),--dask "$(DASK)") \
  $(if $(REPORT),--out "$(REPORT)"))

# Two threads that spin for work take both cores of a small machine.
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup sim hls dashboard browser train docs test test-all verilog bitstream resources bench bench-check bench-baseline report sweep lint clean

help: ## Show this list
	@echo "make sim MODEL=deit_t [IMAGE=photo.jpg IMAGES=\"a.jpg b.jpg\" REPEAT=4 WEIGHTS=file KEEP_BLOCKS=.5 KEEP_TOKENS=.7 CLUSTERS=4 GROUPS=1 BOARD=zcu102 LAYERS=0..2 ENGINE=hls TRACE=1 REPORT=file]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	  printf '%-22s %s\n' "$$name" "$$text"; done
	@echo "Each is a thin wrapper of the command 'sievit' in $(VENV)/bin; see 'sievit --help'."

setup: $(VENV)/.installed ## Install everything into .venv

sim: setup ## Run a network on the simulated accelerator and compare every integer with the golden model
	@$(BIN)/sievit sim $(sim_flags)

hls: setup ## Build the C++ models, run their test bench, and write a Vitis HLS project [MODEL= BOARD= OUT=folder]
	@$(BIN)/sievit hls $(hls_flags)

dashboard: setup ## Draw every run that was kept: an HTML page each, an index, figures [RUNS=folder OUT=folder]
	@$(BIN)/sievit dashboard $(dashboard_flags)

train: setup ## Train a pruned network as a recipe says [CONFIG=recipe.yaml OUT=folder]
	@$(BIN)/sievit train $(train_flags)

verilog: setup ## Generate the accelerator: Verilog, or with BOARD= a folder that builds a bitstream [BOARD= CLUSTERS= GROUPS= OUT=folder]
	@$(BIN)/sievit verilog $(verilog_flags)

bitstream: ## The same, and then run Vivado, which has to be on the PATH [BOARD= OUT=folder]
	@test -n "$(BOARD)" || { echo "give BOARD=, a name of 'sievit boards'" >&2; exit 2; }
	@$(MAKE) --no-print-directory verilog
	@$(BIN)/sievit bitstream "$(deliverable)"

resources: setup ## Resources and logic depth by open synthesis, unit by unit [BOARD= CLUSTERS= GROUPS= REPORT=file]
	@$(BIN)/sievit resources $(resources_flags)

bench: setup ## Cycles, utilization and speed over models, sparsities and array sizes [MODELS= BOARD= SIMULATE=1 QUICK=1 REPORT=]
	@$(BIN)/sievit bench $(bench_flags)

bench-check: setup ## Fail when a ratio of the benchmark is more than 2 % worse than the baseline [MODELS= REPORT=]
	@$(BIN)/sievit bench --check $(bench_flags)

bench-baseline: setup ## Record the benchmark's ratios as the new baseline [MODELS=]
	@$(BIN)/sievit bench --record $(bench_flags)

docs: setup ## Build the documentation as a site: out/docs/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml
	@echo "out/docs/index.html"

report: setup ## Tables of all runs so far, on the terminal and as Markdown and CSV files [OUT=folder]
	@$(BIN)/sievit report $(if $(OUT),--out "$(OUT)")

sweep: setup ## Networks, hardware and boards against each other [CONFIG=file MODELS= KEEP_BLOCKS= CLUSTERS= BOARDS= IMAGES=pack SIMULATE=4]
	@$(BIN)/sievit sweep $(sweep_flags)

test: setup browser ## Run the tests that take less than about half a minute each
	@$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: setup browser ## Run all tests (SIEVIT_DATA=folder with weights and images enables those on real data)
	@$(BIN)/python -m pytest -q -n 2

# The tests of the dashboard want a Chromium. Without one, and where it cannot be installed, they are skipped and say so.
browser:
	@command -v chromium >/dev/null 2>&1 || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y chromium; \
	  } >/dev/null 2>&1; } || true

lint: setup ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/pyright

clean: ## Remove everything that was built (.venv stays)
	rm -rf build out *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/.tools:
	@for tool in g++ make perl; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  echo "missing system tool:$$missing; install with: apt-get install g++ make perl" >&2; exit 2; fi
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed (make PYTHON3=python3.12 ...)" >&2; exit 2; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; install with: apt-get install python3-venv" >&2; exit 2; }
	@mkdir -p $(VENV) && touch $@

$(VENV)/.created: | $(VENV)/.tools
	$(PYTHON3) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(TORCH_FRIENDS)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[algo,dev,docs]'
	@touch $@
