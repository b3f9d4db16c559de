"""Dashboards and alert rules: generated, committed as generated, asking only what is told."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy.grafana.__main__ import FILE_OF_RULES, generated
from deploy.grafana.metrics import LAG, METRICS, label
from deploy.prometheus.rules import RULES
from tests.left_out import promtool
from tests.metrics_store import panel_queries

TESTS = Path(__file__).parents[3] / "deploy" / "prometheus" / "quartermaster.test.yml"
PROMTOOL = promtool()
FUNCTIONS = {"sum", "max", "avg", "rate", "histogram_quantile", "topk", "absent", "by", "le"}
QUERIES = [expression for _, _, expression in panel_queries()]


def test_what_is_committed_is_what_is_generated() -> None:
    for path, text in generated().items():
        assert path.read_text() == text, f"{path.name}: run `just dashboards`"


@pytest.mark.parametrize("expression", [*QUERIES, *(rule.when for rule in RULES)])
def test_a_query_asks_only_for_metrics_and_labels_that_exist(expression: str) -> None:
    series = {end for each in METRICS for end in _endings(each.series, each.kind)}
    labels = {label(each) for metric in METRICS for each in metric.attributes} | {"service_name"}
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)
    names = set(re.findall(r"[a-z_]{2,}", bare))
    assert names - FUNCTIONS <= series | labels
    assert bare.count("(") == bare.count(")")


def test_no_metric_is_told_that_nobody_looks_at() -> None:
    for metric in METRICS:
        assert any(metric.series in expression for expression in QUERIES), metric.name


def test_a_question_for_a_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no http\.route"):
        LAG.most("http.route")


def test_every_rule_says_what_it_means_and_what_to_do() -> None:
    for rule in RULES:
        assert rule.name.startswith("Quartermaster")
        assert len(rule.do) > 20
        assert re.fullmatch(r"\d+[sm]", rule.lasting)


def _endings(series: str, kind: str) -> set[str]:
    return {f"{series}_bucket", f"{series}_count"} if kind == "histogram" else {series}


if PROMTOOL is not None:  # without it, the tests above are what there is

    @pytest.mark.parametrize(("verb", "path"), [("check", FILE_OF_RULES), ("test", TESTS)])
    def test_promtool_takes_the_rules_and_they_fire_when_they_should(verb: str, path: Path) -> None:
        done = subprocess.run(
            [str(PROMTOOL), verb, "rules", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
