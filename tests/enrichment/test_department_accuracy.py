from pantree_research.department_accuracy import accuracy, product_types

MIN_ACCURACY = 0.75


def test_rules_categorize_three_quarters_of_real_product_types() -> None:
    types = product_types()
    assert len(types) > 1_000
    assert accuracy(types).by_type_ratio >= MIN_ACCURACY
    assert accuracy([kind for kind in types if not kind.is_for_tuning]).by_type_ratio >= MIN_ACCURACY
