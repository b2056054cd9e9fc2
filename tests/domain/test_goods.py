import random
from pathlib import Path

import pytest

from pantree_domain.goods import GoodsPolicy, GoodsType, Offering, load_goods_policy


def id_of(name: str, category: str = "") -> str:
    match = load_goods_policy().match(name, category)
    return "" if match is None else match.goods.id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Marlboro Gold 20", "tobacco"), ("VAPE PEN", "tobacco"), ("Zigaretten", "tobacco"), ("Tabaco", "tobacco"),
        ("Lotto 6 aus 49", "lottery"), ("Scratch-Off $5", "lottery"), ("Amazon Gift Card", "gift_cards"),
        ("Forever Stamps", "stamps"), ("Unleaded", "fuel"), ("PFAND 0,25", "deposits"), ("Bottle Deposit", "deposits"),
        ("Delivery Fee", "fees"), ("Versandkosten", "fees"), ("SALES TAX", "taxes"), ("MwSt 19%", "taxes"),
        ("Driver tip", "tips"), ("Trinkgeld", "tips"), ("Coupon -1.00", "coupons"), ("Spende", "donations"),
        ("Rug Doctor Rental", "rentals"), ("SUBTOTAL", "totals"), ("Total", "totals"), ("Zwischensumme", "totals"),
        ("Free sample granola", "samples"), ("Coffee to go", "prepared_food"), ("Rotisserie Chicken", "prepared_food"),
        ("Birthday Candles", "party"), ("Luftballons", "party"), ("Beer", "alcohol"), ("Cerveza Mahou", "alcohol"),
        ("Rotwein 0,75l", "alcohol"), ("Vin de pays", "alcohol"), ("Ibuprofen 200mg", "medicines"),
        ("Similac Advance", "infant_formula"), ("Folgemilch 2", "infant_formula"), ("Pregnancy Test", "intimate"),
        ("Blood glucose test strips", "medical"),
    ],
)  # fmt: skip
def test_name_is_recognized(name: str, expected: str) -> None:
    assert id_of(name) == expected
    assert id_of(f"  {name.upper()} ") == expected


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("ALCOHOL > WINE", "alcohol"), ("Beer & Cider", "alcohol"), ("Tobacco Products", "tobacco"),
        ("Health/OTC Medicines", "medicines"), ("Lottery", "lottery"), ("Hot Foods", "prepared_food"),
        ("Spirituosen", "alcohol"), ("Greeting Cards/Wrap", "party"), ("Infant Formula", "infant_formula"),
    ],
)  # fmt: skip
def test_category_of_the_shop_is_recognized(category: str, expected: str) -> None:
    assert id_of("Reserva 2019", category) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Ginger Ale", "Root Beer", "Red Wine Vinegar", "Beer Battered Fish", "Vodka Sauce", "Rum Raisin Ice Cream",
        "Bourbon Vanilla", "Rubbing Alcohol", "Total Cereal", "Fage Total Yogurt", "Q-Tips", "Asparagus Tips", "Coffee",
        "Hot Dogs", "Sushi Rice", "Sugar Free Gum", "Portobello Mushrooms", "Porterhouse Steak", "Weintrauben",
        "Schweinefilet", "Champignons", "Heineken 0.0 Alcohol Free", "Pork Rinds", "Cherry", "Whisker Lickins",
    ],
)  # fmt: skip
def test_groceries_with_similar_words_have_no_rules(name: str) -> None:
    assert id_of(name) == ""


def test_ordinary_groceries_of_the_catalog_have_no_rules() -> None:
    from pantree_domain.catalog import load_catalog

    ruled = {item.name for item in load_catalog().items if id_of(item.name)}
    assert ruled == {
        "Rotisserie Chicken", "Birthday Cake", "Beer", "Red Wine", "White Wine", "Tampons", "Sanitary Pads", "Bandages",
        "Pain Reliever", "Infant Formula",
    }  # fmt: skip


def test_unknown_name_that_resembles_goods_is_uncertain() -> None:
    match = load_goods_policy().match("Zigareten", "")
    assert match is not None
    assert (match.goods.id, match.certain) == ("tobacco", False)


def test_strictest_type_wins() -> None:
    assert id_of("Wine gift card", "ALCOHOL") == "gift_cards"


NAMES = 100_000


def test_barred_goods_are_recognized_in_any_spelling() -> None:
    # Every phrase of every barred type, in any case, with an amount or a brand next to it, as a name or as a category.
    generator = random.Random(18)
    policy = load_goods_policy()
    barred = [goods for goods in policy.types if goods.offer is not Offering.ALWAYS]
    missed = []
    for number in range(NAMES):
        goods = generator.choice(barred)
        phrase = generator.choice((*goods.names, *goods.categories)).replace("*", "")
        text = generator.choice((phrase, phrase.upper(), phrase.title()))
        if phrase in goods.names or any(name.rstrip("*") == phrase for name in goods.names):
            form = generator.choice(("{}", "{} 12 ct", "Acme {}", "{} {number}", "2 x {}", "  {}  ", "acme-{}"))
            name, category = form.format(text, number=number), generator.choice(("", "pantry", "Grocery > Misc"))
        else:
            form = generator.choice(("{}", "Shop > {}", "{} / Acme", "{}-products"))
            name, category = f"Acme {number}", form.format(text)
        match = policy.match(name, category)
        if match is None or policy.may_offer(match.goods):
            missed.append((name, category))
    assert missed == []


def test_file_of_a_retailer_replaces_and_adds_types(tmp_path: Path) -> None:
    file = tmp_path / "goods.toml"
    file.write_text(
        '[rentals]\nlabel = { en = "rentals" }\nexplanation = "Our service."\noffer = "always"\nnames = ["rental"]'
        '\n[knives]\nlabel = { en = "knives" }\nexplanation = "Age."\noffer = "never"\nnames = ["knife", "knives"]\n'
    )
    policy = load_goods_policy(file)
    rental, knife = policy.match("Tool rental", ""), policy.match("Paring Knife", "")
    assert rental is not None
    assert policy.may_offer(rental.goods)
    assert knife is not None
    assert not policy.may_offer(knife.goods)
    assert (knife.goods.suggest, knife.goods.discount) == (False, False)
    assert policy.match("Marlboro", "") is not None


def test_opting_in_offers_alcohol_without_a_discount() -> None:
    policy = load_goods_policy(opted_in=frozenset({"alcohol"}))
    match = policy.match("Beer", "")
    assert match is not None
    assert policy.may_offer(match.goods)
    assert (match.goods.suggest, match.goods.discount) == (False, False)
    with pytest.raises(OSError, match="'tobacco' is not a type of goods to opt in to; use alcohol, medicines"):
        load_goods_policy(opted_in=frozenset({"tobacco"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "x must be a table"),
        ("[x]\nexplanation = 'a'\nnames = ['b']", "label is required"),
        ("[x]\nlabel = {de = 'a'}\nexplanation = 'a'\nnames = ['b']", "label.en is required"),
        ("[x]\nlabel = {en = 'a'}\nexplanation = 'a'", "must have a phrase"),
        ("[x]\nlabel = {en = 'a'}\nexplanation = 'a'\nnames = ['b']\noffer = 'maybe'", "offer must be one of"),
        ("[x]\nlabel = {en = 'a'}\nexplanation = 'a'\nnames = ['b']\ncolor = 'red'", "unknown key 'color'"),
        ("[x]\nlabel = {en = 'a'}\nexplanation = 'a'\nnames = ['ab*']", "prefix of less than 3 letters"),
        ("[x]\nlabel = {en = 'a'}\nexplanation = 'a'\nnames = ['!']", "has no word"),
        ("[x", "goods.toml"),
    ],
)
def test_invalid_file_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "goods.toml"
    file.write_text(text)
    with pytest.raises(OSError, match=r"goods\.toml: ") as caught:
        load_goods_policy(file)
    assert message in str(caught.value)


def test_two_types_of_one_name_are_refused() -> None:
    goods = GoodsType("x", {"en": "x"}, "", names=("x",))
    with pytest.raises(ValueError, match="name of its own"):
        GoodsPolicy([goods, goods])
