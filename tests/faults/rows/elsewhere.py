"""Rows that no single machine without a cluster or a cloud can inject, and rows of tests alone."""

from tests.faults.registry import not_run, proven

not_run(
    12,
    "one of three broker nodes partitioned",
    "the majority goes on, the minority refuses",
    "needs three broker nodes in network namespaces of their own",
)

proven(
    43,
    "old and new versions together",
    "both read all; unknown fields are kept; kept histories fold to the kept hashes",
    "histories of released versions on today's code; events of a newer writer (tests)",
    "tests/replay/test_replay.py",
    "tests/contract/test_samples.py::test_unknown_fields_of_a_newer_writer_are_kept",
)

not_run(
    45,
    "cloud provider answers 429, 5xx, or not at all",
    "one paid instance, never two; orphans are found by tag",
    "there is no cloud provider yet",
)
