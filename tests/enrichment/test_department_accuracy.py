from pantree_research.department_accuracy import accuracy, product_types

LEAST_ACCURACY = 0.75


def test_rules_find_the_category_of_three_in_four_real_product_types() -> None:
    types = product_types()
    assert len(types) > 1_000
    assert accuracy(types).by_type_ratio >= LEAST_ACCURACY
    assert accuracy([kind for kind in types if not kind.is_for_tuning]).by_type_ratio >= LEAST_ACCURACY
