# One command surface for people, hooks and CI.
# Needs Python 3.11 or newer with `uv` and `rust-just` in an activated virtual environment.

set positional-arguments := true

# The activated environment, or the project's own.
venv := env("VIRTUAL_ENV", justfile_directory() / ".venv")
python := venv / "bin/python"
export VIRTUAL_ENV := venv
export PYTHONPATH := justfile_directory()
export PATH := venv / "bin" + ":" + env("PATH")
# Every service is a process of its own: without it each compiles all that it imports, every time,
# which is more than half of what a start costs.
export PYTHONDONTWRITEBYTECODE := ""

# Show what can be done.
default:
    @just --list --unsorted

# Bring the virtual environment to what the lock file says; quick when there is nothing to do.
setup:
    @command -v uv > /dev/null || { echo "uv is missing: pip install uv rust-just" >&2; exit 1; }
    @uv sync --active --quiet --frozen --inexact --all-extras

# Start everything with a real load: just demo requests=400 speed=60 report=FILE
demo *args: setup
    @exec "{{python}}" -m deploy.demo "$@"

# Start the platform without a load, and say where it is and how to log in.
up *args: setup
    @exec "{{python}}" -m deploy.local.up "$@"

# The platform in containers: just compose [observability] [demo] up -d
compose *args: setup
    @exec "{{python}}" -m deploy.compose "$@"

# Write Grafana's dashboards and Prometheus' alert rules from their Python.
dashboards: setup
    "{{python}}" -m deploy.grafana write

# Everything that must hold before a change is taken.
test *args: setup lint contracts-check
    "{{python}}" -m pytest -n 4 --dist loadfile --no-loadscope-reorder "$@"

# The console in real Chromium, which is installed when it is missing and we are root.
test-browser *args: setup
    "{{python}}" -m pytest tests/browser/console.py "$@"

# Get the console's vendored scripts anew, as the lock file says.
vendor: setup
    "{{python}}" -m deploy.vendor fetch

# Style, types and architecture.
lint: setup
    "{{python}}" -m ruff check .
    "{{python}}" -m ruff format --check .
    "{{python}}" -m mypy
    lint-imports

# Write the schemas and API descriptions from the contracts.
contracts: setup
    "{{python}}" -m deploy.contracts write

# Compare the committed schemas with the contracts.
contracts-check: setup
    "{{python}}" -m deploy.contracts check

# Run a benchmark by name: just bench NAME
bench *args: setup
    @exec "{{python}}" -m deploy.bench "$@"

# Live through seeded accidents: just simulate seeds=300 first=0 mutants=200
simulate *args: setup
    @exec "{{python}}" -m tests.simulation "$@"

# Break a running fleet on real engines, row by row: just faults, just faults 2 39, just faults list
faults *args: setup
    @exec "{{python}}" -m tests.faults "$@"

# Draw the live table in the middle of a short run into the README's picture.
picture *args: setup
    @exec "{{python}}" -m deploy.demo requests=120 "picture={{justfile_directory()}}/deploy/demo/demo.svg" "$@"
