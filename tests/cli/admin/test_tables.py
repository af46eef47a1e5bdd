"""Text tables."""

from balance.cli.admin.tables import table


def test_columns_are_as_wide_as_what_is_in_them_and_numbers_are_to_the_right() -> None:
    assert table(("NAME", "N", "WHY"), [("a", 5, None), ("longer", 12345, "refused")]) == [
        "NAME        N  WHY",
        "a           5  -",
        "longer  12345  refused",
    ]


def test_an_empty_table_has_heads() -> None:
    assert table(("A", "B"), []) == ["A  B"]
