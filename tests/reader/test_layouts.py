"""Exports as shops, registers and data sets have them: each is read as what it means."""

import io
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import pytest

from pantree_reader import PurchaseFile, ReadOptions, ReceiptLine, read_purchases
from pantree_runtime.errors import InvalidInput

TODAY = date(2026, 9, 1)


class Expected(NamedTuple):
    name: str
    day: date = date(2026, 8, 13)
    quantity: int = 1
    price: float | None = 1.49
    saving: float = 0.0
    household: str = ""
    item_id: str = ""
    currency_code: str = ""


def read(data: bytes | str, **options: Any) -> PurchaseFile:
    return read_purchases(data.encode() if isinstance(data, str) else data, ReadOptions(today=TODAY, **options))


def first(file: PurchaseFile) -> ReceiptLine:
    return file.households[0].purchases[0]


def check(file: PurchaseFile, expected: Expected) -> None:
    line = first(file)
    found = Expected(
        line.name, line.day, line.quantity, line.price, line.saving, file.households[0].household, line.item_id,
        file.currency_code,
    )  # fmt: skip
    assert found == expected


TEXTS: dict[str, tuple[str, Expected]] = {
    "Square items": (
        "Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Gross Sales,Discounts,Net Sales,Tax,Transaction ID,Customer ID\n"
        '08/13/2026,14:01:02,Eastern,Bakery,Bread,2,Regular,B1,"$7.00",($1.00),"$6.00",$0.00,tx1,C9\n'
        "08/20/2026,14:01:02,Eastern,Bakery,Bread,1,Regular,B1,$3.50,$0.00,$3.50,$0.00,tx2,C9\n",
        Expected("Bread", quantity=2, price=3.5, saving=1.0, household="C9", item_id="B1"),
    ),
    "WooCommerce orders": (
        "Order Number,Order Status,Order Date,Customer Email,Item Name,SKU,Quantity,Item Cost,Order Total Amount\n"
        "17,completed,2026-08-13 09:30,a@example.org,Oat milk,OM-1,3,1.49,4.47\n"
        "18,cancelled,2026-08-20 09:30,a@example.org,Oat milk,OM-1,3,1.49,4.47\n",
        Expected("Oat milk", quantity=3, household="a@example.org", item_id="OM-1"),
    ),
    "Shopify orders whose later lines lack what the order has": (
        "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount\n"
        "#1001,a@example.org,paid,2026-08-13 10:14:00 -0400,2,Coffee,14.00,C-1,1.50\n"
        "#1001,,,2026-08-13 10:14:00 -0400,1,Filters,4.00,F-1,0.00\n",
        Expected("Coffee", quantity=2, price=14.0, saving=1.5, household="a@example.org", item_id="C-1"),
    ),
    "Amazon order history reports": (
        "Order Date,Order ID,Title,Category,ASIN/ISBN,Purchase Price Per Unit,Quantity,Item Subtotal,Item Total,Currency\n"
        '08/13/26,113-1,Paper towels,Grocery,B00X,"$12.99",2,$25.98,$27.02,USD\n',
        Expected("Paper towels", quantity=2, price=12.99, item_id="B00X", currency_code="USD"),
    ),
    "Complete Journey": (
        "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,week,"
        "transaction_timestamp\n"
        "900,330,31198570044,1095275,2,2.00,0.60,0,0.38,1,2026-08-13 11:53:26\n",
        Expected("1095275", quantity=2, price=1.49, saving=0.98, household="900", item_id="1095275"),
    ),
    "UCI online retail II": (
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
        "489434,85048,CHRISTMAS LIGHTS,12,13/08/2026 07:45,6.95,13085.0,United Kingdom\n"
        "C489449,85048,CHRISTMAS LIGHTS,-2,14/08/2026 10:33,6.95,13085.0,United Kingdom\n"
        "489435,POST,POSTAGE,1,13/08/2026 07:45,18.00,13085.0,United Kingdom\n",
        Expected("CHRISTMAS LIGHTS", quantity=10, price=6.95, household="13085", item_id="85048"),
    ),
    "Costco receipt with discounts by item number": (
        "Date,Item Number,Item Description,Amount\n"
        "08/13/2026,662821,KS BATTERIES AA,20.99\n08/13/2026,512599,ORGANIC EGGS,8.49\n08/13/2026,,/662821,4.00-\n"
        "08/13/2026,,TOTAL,25.48\n",
        Expected("KS BATTERIES AA", price=20.99, saving=4.0, item_id="662821"),
    ),
    "supermarket account, British": (
        "Date,Store,Product,Qty,Unit Price (GBP),Total (GBP)\n13 Aug 2026,Leeds,Semi Skimmed Milk,2,£1.49,£2.98\n",
        Expected("Semi Skimmed Milk", quantity=2, currency_code="GBP"),
    ),
    "German receipt app with deposit": (
        "Kaufdatum;Händler;Artikelbezeichnung;Anzahl;Einzelpreis;Rabatt\n"
        "13.08.26;Markt;Mineralwasser;6;0,79 €;0,60 €\n13.08.26;Markt;Pfand 0,25;6;0,25 €;\n",
        Expected("Mineralwasser", quantity=6, price=0.79, saving=0.6, currency_code="EUR"),
    ),
    "French drive": (
        "Date d'achat;Libellé;Quantité;Prix unitaire;Remise\n13/08/2026;Pâtes 500g;2;1 234,50 €;0,10 €\n",
        Expected("Pâtes 500g", quantity=2, price=1234.5, saving=0.1, currency_code="EUR"),
    ),
    "Spanish ticket": (
        "Fecha;Producto;Cantidad;Importe\n13/08/2026;Leche entera;2;2,98\n",
        Expected("Leche entera", quantity=2),
    ),
    "Dutch export": (
        "Aankoopdatum;Omschrijving;Aantal;Prijs;Korting\n13-08-2026;Halfvolle melk;1;1,49;-0,25\n",
        Expected("Halfvolle melk", saving=0.25),
    ),
    "Polish export": (
        "Data zakupu;Nazwa;Ilość;Cena jednostkowa\n2026-08-13;Mleko 2%;1;1,49 zł\n",
        Expected("Mleko 2%", currency_code="PLN"),
    ),
    "Japanese household book": (
        "日付,商品名,数量,金額\n2026年8月13日,牛乳,1,¥238\n",
        Expected("牛乳", price=238.0),
    ),
    "Swiss thousands": (
        "Datum;Produkt;Preis\n13.08.2026;Wein;CHF 1'234.50\n",
        Expected("Wein", price=1234.5, currency_code="CHF"),
    ),
    "Indian lakhs": (
        'Date,Item,Price\n13-Aug-2026,Saffron,"₹1,23,456.00"\n',
        Expected("Saffron", price=123456.0, currency_code="INR"),
    ),
    "accounting negatives": (
        'Date|Item|Qty|Price\n2026-08-13|Bread|1|"1.49"\n2026-08-20|Bread|1|1.49\n2026-08-21|Bread|1|(1.49)\n',
        Expected("Bread"),
    ),
    "Open Food Facts names": (
        "code,product_name,brands,quantity,date,price\n3017620422003,Hazelnut spread,Brand,400 g,2026-08-13,1.49\n",
        Expected("Hazelnut spread", item_id="3017620422003"),
    ),
    "Recharge subscriptions": (
        "subscription_id,customer_id,created_at,product_title,variant_title,sku,quantity,price,order_interval_frequency,"
        "order_interval_unit,status\n"
        "1,77,2026-08-13T08:00:00,Cat food,2 kg,CF2,2,1.49,30,day,active\n",
        Expected("Cat food", quantity=2, household="77", item_id="CF2"),
    ),
    "Shopify subscriptions": (
        "id,customer_id,created_at,product_title,variant_title,quantity,price,billing_interval,status\n"
        "1,77,2026-08-13,Cat food,2 kg,2,1.49,MONTH,active\n",
        Expected("Cat food", quantity=2, household="77"),
    ),
    "title and totals around the table": (
        "Purchase report\nAccount 17\n\nDate,Product,Qty,Price\n2026-08-13,Milk,1,1.49\n2026-08-20,Milk,1,1.49\n,Total,2,2.98\n",
        Expected("Milk"),
    ),
    "warehouse dates as numbers": ("day,item_name,units,unit_price\n20260813,Milk,1,1.49\n", Expected("Milk")),
    "epoch milliseconds": ("timestamp,product,qty,price\n1786622400000,Milk,1,1.49\n", Expected("Milk")),
    "US dates with names of months": ('Ordered at,Item,Price\n"August 13, 2026",Milk,1.49\n', Expected("Milk")),
    "percentages as such": (
        "date,item,price,discount\n2026-08-13,Coffee,14.00,10 %\n".replace("10 %", "10%"),
        Expected("Coffee", price=14.0, saving=1.4),
    ),
}


@pytest.mark.parametrize("layout", TEXTS)
def test_export_is_read_as_it_means(layout: str) -> None:
    text, expected = TEXTS[layout]
    check(read(text), expected)


@pytest.mark.parametrize(
    ("encoding", "given"), [("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", ""), ("cp1252", ""), ("cp932", "cp932")]
)
def test_text_in_other_encodings(encoding: str, given: str) -> None:
    name = "牛乳" if encoding == "cp932" else "Käse jung 2 €"
    text = f"date;item;price\n2026-08-13;{name};1,49\n"
    if encoding == "utf-16-le":
        text = text.replace("ä", "a")
        name = name.replace("ä", "a")
    file = read(text.encode(encoding), encoding=given)
    assert first(file).name == name
    assert file.format.encoding


def test_text_that_is_not_utf_8_is_in_doubt() -> None:
    file = read("date;item;price\n2026-08-13;Käse;1,49\n".encode("cp1252"))
    (note,) = file.notes
    assert (note.code, note.lines) == ("encoding", (2,))


def test_workbook_with_title_and_typed_cells() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Receipts of 2026"])
    sheet.append([])
    sheet.append(["Date", "Product", "Quantity", "Price"])
    sheet.append([datetime(2026, 8, 13, 14, 0), "Milk 2L", 2, 1.49])
    sheet.append([date(2026, 8, 20), "Milk 2L", 0.5, 1.5])
    data = io.BytesIO()
    book.save(data)
    file = read(data.getvalue())
    assert file.format.kind == "workbook, sheet Sheet"
    lines = file.households[0].purchases
    assert [(line.line, line.day, line.quantity, line.price) for line in lines] == [
        (4, date(2026, 8, 13), 1, 2.98),
        (5, date(2026, 8, 20), 1, 0.75),
    ]


def test_parquet_of_a_simulated_population() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = io.BytesIO()
    columns: dict[str, Sequence[object]] = {
        "household": [7, 8], "date": [date(2026, 8, 13)] * 2, "item": ["Milk", "Bread"], "category": ["dairy", "bakery"],
        "quantity": [2, 1], "price": [1.49, 2.5], "saving": [0.5, 0.0],
    }  # fmt: skip
    parquet.write_table(arrow.table(columns), data)
    file = read(data.getvalue())
    assert [household.household for household in file.households] == ["7", "8"]
    check(file, Expected("Milk", quantity=2, saving=0.5, household="7"))


@pytest.mark.parametrize("form", ["lines", "list"])
def test_json(form: str) -> None:
    rows = [
        {"name": "Milk", "date": "2026-08-13", "price": 1.49, "quantity": 2},
        {"name": "Milk", "date": "2026-08-20", "price": 1.5},
    ]
    text = "\n".join(json.dumps(row) for row in rows) if form == "lines" else json.dumps(rows)
    file = read(text)
    check(file, Expected("Milk", quantity=2))
    assert file.format.kind == "JSON lines"


@pytest.mark.parametrize(
    ("text", "options", "line", "part"),
    [
        ("date,item,price\n03/04/2026,Milk,1.49\n", {}, "line 2, date", "give the date format"),
        ("date,item,price\n13/04/2026,Milk,1.49\n04/13/2026,Milk,1.49\n", {}, "line 3, date", "another order of day"),
        ("date,item,price\n2026-08-13,Milk,1.49\n2026-13-08,Milk,1.49\n", {}, "line 3, date", "must be a date"),
        ('date,item,price\n2026-08-13,Milk,"1,234"\n', {}, "line 2, price", "give the decimal separator"),
        ('date,item,price\n2026-08-13,Milk,1.49\n2026-08-20,Milk,"1,49"\n', {}, "line 3, price", "another decimal"),
        ("date,item,price\n2026-08-13,Milk,free\n", {}, "line 2, price", "must be a number"),
        ("date,item,price\n2026-08-13,Milk,\n", {}, "line 2, price", "is empty"),
        ("date,price\n2026-08-13,1.49\n", {}, "line 1", "lacks item"),
        ("Name,Date,Price\n#1001,2026-08-13,1.49\n", {}, "line 1", "--map item=COLUMN"),
        ("date,item,price,currency\n2026-08-13,Milk,1.49,EUR\n2026-08-20,Milk,1.49,USD\n2026-08-27,Milk,1.49,EUR\n", {},
         "line 3, currency", "--currency EUR"),
        ("date,item,price\n2026-08-13,Milk,€1.49\n2026-08-20,Milk,£1.49\n", {}, "line 3, currency", "--currency EUR"),
        ("date,item,price\n2027-08-13,Milk,1.49\n", {}, "line 2, date", "no line has a day up to 2026-09-01"),
        ("date,item,price,saving\n2026-08-13,Milk,1.49,3.10\n", {}, "line 2, saving", "at most price × quantity"),
        ("date,item,price\n2026-08-13,Milk,1.49\n", {"columns": {"item": "Produkt"}}, "line 1", "has no column 'Produkt'"),
        ("date,item,price\n2026-08-13,Milk,1.49\n", {"columns": {"flavor": "item"}}, "columns", "unknown role"),
        ("", {}, "file", "is empty"),
        ("date,item,price\n", {}, "file", "no purchases below"),
        ("date,item,price\n2026-08-13,Milk,1.49\n", {"time_zone": "Mars/Base"}, "time zone", "America/New_York"),
        ("date,item,price\n2026-08-13,Milk,1.49\n", {"encoding": "klingon"}, "encoding", "cp1252"),
        ('{"date": "2026-08-13", "item": "Milk"\n', {}, "line 1", "is not JSON"),
        ('date,item,price\n2026-08-13,"12"" pizza" x,1.49\n', {}, "line 2", "quote"),
        ("date,item,price\n2026-08-13,Milk,1.49,5,6,7\n2026-08-13,Milk,1e3\n", {}, "line 3, price", "must be a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_without_guessing_is_refused(
    text: str, options: dict[str, Any], line: str, part: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text, **options)
    violation = caught.value.violations[0]
    assert violation.field == line
    assert part in violation.description


def test_given_columns_formats_and_currency() -> None:
    text = "When,What,How much,Was\n03/04/2026,Milk,1.234,EUR\n03/04/2026,Milk,9.99,USD\n"
    columns = {"date": "When", "item": "what", "price": "How much", "currency_code": "Was"}
    file = read(text, columns=columns, date_format="%d/%m/%Y", decimal=".", currency_code="EUR")
    check(file, Expected("Milk", day=date(2026, 4, 3), price=1.234, currency_code="EUR"))
    assert [(note.code, note.lines) for note in file.notes if note.code == "currency"] == [("currency", (3,))]


def test_times_with_an_offset_in_the_time_zone_of_the_shop() -> None:
    text = "date,item,price\n2026-08-13T02:15:16Z,Milk,1.49\n"
    assert first(read(text)).day == date(2026, 8, 13)
    assert first(read(text, time_zone="America/New_York")).day == date(2026, 8, 12)


def test_overlapping_exports_are_recognized_by_receipt() -> None:
    lines = [f"r{n},2026-0{n}-13,{item},1.49" for n in range(1, 7) for item in ("Milk", "Milk", "Bread")]
    text = "receipt,date,item,price\n" + "\n".join([*lines[:12], *lines[6:]]) + "\n"
    file = read(text)
    assert len(file.households[0].purchases) == len(lines)
    (note,) = (note for note in file.notes if note.code == "duplicate")
    assert note.lines == tuple(range(14, 20))
    assert len(read(text, duplicates="keep").households[0].purchases) == 24
    # Two cartons scanned one by one are two, unless the caller knows better.
    assert len(read(text, duplicates="drop").households[0].purchases) == 12


def test_discount_lines_are_taken_off_the_item_that_they_name() -> None:
    text = (
        "receipt,date,item,price\n1,2026-08-13,Coffee,14.00\n1,2026-08-13,Milk,1.49\n1,2026-08-13,Clubcard Coffee,-3.00\n"
        "1,2026-08-13,Basket voucher discount,-2.49\n"
    )
    savings = {line.name: line.saving for line in read(text).households[0].purchases}
    assert sum(savings.values()) == pytest.approx(5.49, abs=0.001)
    assert savings["Coffee"] >= 3.0


def test_refund_of_one_of_two_units_leaves_one() -> None:
    text = "date,item,price,quantity\n2026-08-13,Milk,1.49,2\n2026-08-14,Milk,1.49,-1\n2026-08-15,Bread,2.00,-1\n"
    file = read(text)
    assert [(line.name, line.quantity) for line in file.households[0].purchases] == [("Milk", 1)]
    assert {note.code: note.lines for note in file.notes} == {"refund": (2, 3), "refund_without_purchase": (4,)}


def test_names_longer_than_allowed_stay_distinct() -> None:
    text = "date,item,price\n" + "".join(f"2026-08-13,{'x' * 250}{end},1\n" for end in "ab")
    names = [line.name for line in read(text).households[0].purchases]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 200


@pytest.mark.parametrize(
    "name",
    [
        "Milk tip top",
        "Tax free wine",
        "Coffee",
        "Bottle",
        "🧀 Käse",
        "%",
        "-",
    ],
)
def test_goods_are_not_charges(name: str) -> None:
    assert first(read(f"date,item,price\n2026-08-13,{name},1.49\n")).name == name


def test_strict_refuses_what_would_be_noted() -> None:
    text = "date,item,price\n2026-08-13,Milk,1.49\n2026-08-13,Delivery fee,4.95\n"
    assert read(text).notes
    with pytest.raises(InvalidInput) as caught:
        read(text, strict=True)
    assert caught.value.violations[0].field == "line 3"
