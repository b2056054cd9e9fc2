"""`make dependencies` runs a whole mesh for minutes; its table is checked here, checks of health in tests/runtime."""

import re

from tests.faults.dependencies import BEGIN, END, FAILURES, GUIDE, HEADERS, SYSTEMS


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
