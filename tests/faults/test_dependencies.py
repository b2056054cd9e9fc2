"""`make dependencies` runs a whole mesh for minutes; its table is checked here, checks of health in tests/runtime."""

import re

import pytest

from tests.faults.dependencies import BEGIN, END, FAILURES, GUIDE, HEADERS, SYSTEMS, inside_in, with_rows


def test_guide_has_a_row_for_each_failure() -> None:
    table = GUIDE.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    assert rows[0] == list(HEADERS)
    assert [tuple(row[:2]) for row in rows[1:]] == [
        (system.name, failure) for system in SYSTEMS for failure in FAILURES
    ]


def test_every_stopped_system_is_seen_and_forgotten_within_ten_seconds_and_no_answer_fails() -> None:
    table = GUIDE.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    for row in rows[1:]:
        assert row[5].startswith("200 in"), row
        if row[1] in ("stopped", "hung"):
            assert row[2] != "healthy", row
            assert row[4] == "0", row
        assert all(int(seconds) <= 10 for seconds in re.findall(r"(\d+) s", row[9])), row


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("http://127.0.0.1:53339 does not answer; check VECTORDB_HOST", ["127.0.0.1", "VECTORDB_HOST"]),
        (
            "the role lacks sagemaker:InvokeEndpoint; see SAGEMAKER_ENDPOINT",
            ["sagemaker:InvokeEndpoint", "SAGEMAKER_ENDPOINT"],
        ),
        ("SageMaker is unavailable; the embedded model ranked the items, DEADLINE_EXCEEDED", []),
    ],
)
def test_hosts_settings_and_permissions_are_found(text: str, inside: list[str]) -> None:
    assert inside_in(text) == inside


def test_rows_that_were_not_measured_again_stay() -> None:
    table = "| system | state | seen |\n|---|---|---|\n| Milvus | full | a |\n| Redis | full | b |\n"
    assert with_rows(table, ["| Redis | full | c |"]).splitlines()[2:] == [
        "| Milvus | full | a |",
        "| Redis | full | c |",
    ]
