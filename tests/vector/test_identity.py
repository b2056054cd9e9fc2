from pantree_vector.core.identity import customer_point_id, item_point_id


def test_point_ids_never_change() -> None:
    """Other ids would no longer overwrite what is stored."""
    assert customer_point_id("shop", "family") == "7b97704b-641e-5075-bf59-92f8f96b2807"
    assert item_point_id("shop", "family", "oat milk") == "e62443a1-6a6b-5c01-b27f-261cc4505988"
    assert customer_point_id("shop", "") != customer_point_id("", "shop")
