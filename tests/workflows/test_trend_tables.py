"""Tables of a trend: what a spreadsheet makes of them."""

import pytest

from uvsam.workflows.trend_tables import as_text


@pytest.mark.parametrize("name", ["=1+1", "+HYPERLINK(1)", "-a", "@SUM(A1)", "\tx", " =cmd|' /C calc'!A0", "-"])
def test_a_name_is_no_formula(name: str) -> None:
    assert as_text(name) == f"'{name}"


@pytest.mark.parametrize("cell", ["west", "-5", "+3.2e4", "1-2", "", -5, 2.5, None])
def test_everything_else_stays_as_it_is(cell: object) -> None:
    assert as_text(cell) == cell
