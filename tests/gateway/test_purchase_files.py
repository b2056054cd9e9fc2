"""`POST /api/v1/purchase-files`: the product's reader over HTTP."""

from typing import Any

import httpx

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from tests.gateway.mesh import Mesh

GOOD = b"""date,product,unit price,qty
2026-05-01,Milk,1.99,2
2026-05-08,Milk,1.99,1
2026-05-08,<script>alert(1)</script>,3.50,1
"""


async def read(client: httpx.AsyncClient, content: bytes, **params: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/purchase-files", content=content, params=params)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


async def test_history_goes_into_other_requests(mesh: Mesh, client: httpx.AsyncClient) -> None:
    report = await read(client, GOOD)
    assert report["problems"] == []
    assert report["columns"] == {"date": "date", "item": "product", "price": "unit price", "quantity": "qty"}
    assert report["history_columns"]["item_names"] == ["Milk", "<script>alert(1)</script>"]
    body = {"customer_id": "h", "history_columns": report["history_columns"]}
    assert (await client.post("/api/v1/process", json=body)).status_code == 200
    columns = mesh.pipeline.requests[-1].history_columns
    assert isinstance(columns, PurchaseColumns)
    assert list(columns.quantities) == [2, 1, 1]


async def test_mapping_can_be_changed(client: httpx.AsyncClient) -> None:
    report = await read(client, GOOD, column=["item=date", "date=date", "quantity="])
    assert report["problems"] == []
    assert report["columns"]["item"] == "date"
    assert "quantity" not in report["columns"]


async def test_refused_file_shows_its_columns_and_the_line(client: httpx.AsyncClient) -> None:
    unclear = await read(client, b"date,item\n03/04/26,Milk\n")
    assert unclear["header"] == ["date", "item"]
    assert unclear["first_rows"] == [["03/04/26", "Milk"]]
    assert unclear["columns"] == {"date": "date", "item": "item"}
    assert [problem["field"] for problem in unclear["problems"]] == ["line 2, date"]
    assert (await read(client, b"date,item\n03/04/26,Milk\n", date_format="%d/%m/%y"))["problems"] == []
    nonsense = await read(client, b"\x00\x01\x02")
    assert nonsense["problems"]


async def test_unknown_columns_are_shown_with_what_they_hold(client: httpx.AsyncClient) -> None:
    content = b"when,what,qty\n2026-05-01,Milk,2\n\n2026-05-08,Rice,1\n2026-05-09,Rice,1\n"
    report = await read(client, content)
    assert report["problem_count"] == 1
    assert report["columns"] == {"quantity": "qty"}
    assert report["first_rows"][0] == ["2026-05-01", "Milk", "2"]
    report = await read(client, content, column=["date=when", "quantity="])
    assert (report["problem_count"], report["columns"]) == (1, {"date": "when"})
    report = await read(client, content, column=["date=when", "item=what"])
    assert report["problems"] == []
    assert report["first_rows"][-1] == ["2026-05-09", "Rice", "1"]


async def test_faulty_lines_can_be_left_out(client: httpx.AsyncClient) -> None:
    content = GOOD + b"2026-05-09,Bread,much,1\nno date,Rice,1.00,1\n"
    refused = await read(client, content)
    assert [problem["field"] for problem in refused["problems"]] == ["line 5, unit price", "line 6, date"]
    report = await read(client, content, leave_out_invalid=True)
    assert [(remark["kind"], remark["lines"]) for remark in report["remarks"] if remark["code"] == "invalid"] == [
        ("left out", [5]),
        ("left out", [6]),
    ]
    assert report["history_columns"]["item_names"] == ["Milk", "<script>alert(1)</script>"]


async def test_one_household_of_several(client: httpx.AsyncClient) -> None:
    content = b"household,date,item\na,2026-05-01,Milk\nb,2026-05-01,Bread\nb,2026-05-02,Rice\n"
    report = await read(client, content)
    assert report["households"] == [{"id": "b", "line_count": 2}, {"id": "a", "line_count": 1}]
    assert report["history_columns"]["item_names"] == ["Bread", "Rice"]
    assert (await read(client, content, household="a"))["history_columns"]["item_names"] == ["Milk"]
    assert (await read(client, content, household="c"))["problems"][0]["field"] == "household"


async def test_items_of_one_name_stay_apart(client: httpx.AsyncClient) -> None:
    content = b"date,item,sku,size\n2026-05-01,Milk,1,1 l\n2026-05-01,Milk,2,2 l\n2026-05-02,Milk,3,2 l\n"
    report = await read(client, content, column=["item_id=sku", "variant=size"])
    columns = report["history_columns"]
    assert len(set(columns["item_names"])) == 3
    assert (columns["item_ids"], columns["item_variants"]) == (["1", "2", "3"], ["1 l", "2 l", "2 l"])


async def test_too_large_file_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/purchase-files", content=b"x" * (16 * 1024 * 1024 + 1))
    assert response.status_code == 413
