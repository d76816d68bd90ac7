"""Coverage of lines and branches: `PYTHONPATH=.ci python -m pytest -p covered`, for the whole suite.

The total is printed, with what was never run, and under 95 % the run fails. Measured by SlipCover, which puts
its probes into the code and takes them out once they were met; coverage.py needs Python 3.12 to be as fast.
Counted is what runs in the tests' own processes; what they start in others (commands that are killed, the
report's scripts in a browser) is not, nor are the kernels, which run as compiled code.
"""

import io
import json
from typing import Any

import pytest
import slipcover

LEAST = 95.0  # per cent
SOURCE, COMPILED = ["swarmnet"], ["swarmnet/objective/kernels/*"]

measured = slipcover.Slipcover(branch=True, source=SOURCE, omit=COMPILED)
matcher = slipcover.FileMatcher(sources=SOURCE, omit=COMPILED)
slipcover.ImportManager(measured, matcher).__enter__()  # before any test does
found: dict[str, Any] = {}


def add(coverage: dict[str, Any]) -> None:
    if found:
        slipcover.merge_coverage(found, coverage)
    else:
        found.update(coverage)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended, and told what it met."""
    if "coverage" in getattr(node, "workeroutput", {}):
        add(json.loads(node.workeroutput["coverage"]))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    coverage = measured.get_coverage()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["coverage"] = json.dumps(coverage)
        return
    add(coverage)
    if session.exitstatus == 0 and found["summary"]["percent_covered"] < LEAST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table, summary = io.StringIO(), found["summary"]
    slipcover.print_coverage(found, outfile=table, skip_covered=True)
    terminalreporter.write_line(table.getvalue())
    terminalreporter.write_line(
        f"coverage: {summary['percent_covered']:.1f} % of lines and branches, {LEAST:g} % wanted"
    )
