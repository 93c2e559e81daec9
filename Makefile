# Everything runs in one virtual environment, made on the first call.

PYTHON ?= python3
CORES ?= 2
CONFIG ?= config/digits.yaml
VENV := .venv
BIN := $(VENV)/bin
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
QUIETLY := $(IN_VENV) sh workflow/quietly.sh

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check check-types check-rules configuration plan calibrate run report shrink join bench docs site format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo "CONFIG=config/<experiment>.yaml and CORES=<n> change what plan, run and report use."

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[onnx]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(VENV)/run.stamp ## all three systems on data that is here already, ending in files for a device
	@$(IN_VENV) CORES=$(CORES) sh workflow/demo.sh

test: $(VENV)/test.stamp ## every check: formatters, linters, types, snakemake --lint, pytest
	@$(IN_VENV) $(MAKE) --no-print-directory check

check: # what `test` runs, in an environment that is there
	ruff format --check .
	ruff check .
	@$(MAKE) --no-print-directory -j2 check-types check-rules
	python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

check-types:
	mypy

check-rules:
	snakefmt --check Snakefile rules workflow
	snakemake --lint --configfile config/digits.yaml
	python docs/site.py

test-long: $(VENV)/test.stamp ## the search for faults over hundreds of drawn cases, apart from `test`
	@$(IN_VENV) python -m pytest -m long -n $(CORES)

# Of a file that is not there or is no YAML, Snakemake says less, and that at great length.
configuration: $(VENV)/run.stamp
	@$(IN_VENV) python -m modelswitch.config.file "$(CONFIG)" >/dev/null

plan: configuration ## the models that CONFIG would train, their cost and the time it takes
	@$(QUIETLY) snakemake plan --nolock --cores $(CORES) --configfile "$(CONFIG)"

calibrate: configuration ## measure once how many threads a training should have on this machine; plan says it
	@$(QUIETLY) snakemake calibrate --nolock --cores $(CORES) --configfile "$(CONFIG)"

run: configuration ## train and report what CONFIG describes; goes on where it was stopped
	@$(IN_VENV) && snakemake --logger modelswitch --cores $(CORES) --configfile "$(CONFIG)" && \
	ls "$$(python -m modelswitch.config.file "$(CONFIG)")/results.html"

report: run ## CONFIG's results as one HTML file, beside them, to open in any browser
	@$(IN_VENV) && file="$$(python -m modelswitch.config.file "$(CONFIG)")/report.html" && \
	sh workflow/quietly.sh snakemake --cores $(CORES) --configfile "$(CONFIG)" \
		--report "$$file" --report-stylesheet workflow/report/snakemake.css && \
	echo "$$file"

INTO_YAML = $(if $(INTO),$(INTO),shrink.yaml)

shrink: $(VENV)/run.stamp ## search for a smaller model: DATA=photos/ TEACHER=model.pth AS=torchvision:resnet18 MAX="parameters<50k"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[search]'
	@$(IN_VENV) python workflow/scripts/shrink.py --data "$(DATA)" --teacher "$(TEACHER)" \
		--as "$(AS)" --max "$(or $(MAX),parameters<50k)" $(if $(SIZE),--size $(SIZE)) \
		$(if $(TRAININGS),--trainings $(TRAININGS)) $(if $(EPOCHS),--epochs $(EPOCHS)) --into "$(INTO_YAML)"
	@$(MAKE) --no-print-directory plan CONFIG="$(INTO_YAML)"
	@$(MAKE) --no-print-directory run CONFIG="$(INTO_YAML)"

join: $(VENV)/run.stamp ## one set of tables and one page of PARTS="results/a results/b …", into INTO=folder; PLAN=config/<all seeds>.yaml
	@$(IN_VENV) python workflow/scripts/join.py $(PARTS) --into "$(INTO)" $(if $(PLAN),--plan "$(PLAN)")

site: $(VENV)/test.stamp ## the documentation as a site, in build/site/html
	@$(IN_VENV) python docs/site.py

format: $(VENV)/test.stamp ## put the code into its standard form
	@$(BIN)/ruff check --fix -q . && $(BIN)/ruff format -q . && $(BIN)/snakefmt Snakefile rules workflow

bench: $(VENV)/run.stamp ## the benchmarks as one table; ONLY=step,planning for single parts
	@$(IN_VENV) python benchmarks/bench.py --only "$(ONLY)" $(BENCH)

docs: $(VENV)/run.stamp ## regenerate what is generated: config/README.md, config/schema.json, docs/methods.md, docs/tables.md, the tree in docs/architecture.md
	@$(BIN)/python -m modelswitch.config.reference > config/README.md
	@$(BIN)/python -m modelswitch.config.json_schema > config/schema.json
	@$(BIN)/python -m modelswitch.config.method_docs > docs/methods.md
	@$(BIN)/python -m modelswitch.results.schema > docs/tables.md
	@$(BIN)/python docs/tree.py

clean: ## remove results and caches, keep the environment and results/reference
	@find results -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} + 2>/dev/null; \
	rm -rf build/site .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis
