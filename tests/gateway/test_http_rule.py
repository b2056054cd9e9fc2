import pytest

from pantree.pipeline.v1 import pipeline_service_pb2
from pantree.simulation.v1 import simulation_service_pb2
from pantree_gateway.transcoding.http_rule import HttpBinding, bindings_of, parse_template
from tests.gateway.sample import LIBRARY

PIPELINE = pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"]
SIMULATION = simulation_service_pb2.DESCRIPTOR.services_by_name["SimulationService"]


@pytest.mark.parametrize(
    ("template", "route", "parameters", "values"),
    [
        ("/v1/books", "/v1/books", {}, {}),
        ("/v1/books/{name}", "/v1/books/{name}", {"name": "a"}, {"name": "a"}),
        ("/ws/{input.customer_id}", "/ws/{customer_id}", {"customer_id": "a"}, {"input.customer_id": "a"}),
        ("/{a.id}/{b.id}", "/{a_id}/{b_id}", {"a_id": "1", "b_id": "2"}, {"a.id": "1", "b.id": "2"}),
        ("/v1/{name=shelves/*}", "/v1/shelves/{name}", {"name": "7"}, {"name": "shelves/7"}),
        (
            "/v1/{name=shelves/*/books/*}",
            "/v1/shelves/{name_1}/books/{name_2}",
            {"name_1": "7", "name_2": "8"},
            {"name": "shelves/7/books/8"},
        ),
        ("/v1/{name=**}", "/v1/{name:path}", {"name": "a/b"}, {"name": "a/b"}),
        ("/v1/{name=files/**}:read", "/v1/files/{name:path}:read", {"name": "a/b"}, {"name": "files/a/b"}),
        ("/v1/*/books/**", "/v1/{wildcard_1}/books/{wildcard_2:path}", {}, {}),
        ("/v1/books:count", "/v1/books:count", {}, {}),
    ],
)
def test_path_template_becomes_a_route_and_returns_values(
    template: str, route: str, parameters: dict[str, str], values: dict[str, str]
) -> None:
    parsed = parse_template(template)
    assert parsed.route_path == route
    assert parsed.values(parameters) == values


@pytest.mark.parametrize("template", ["v1/books", "/v1//books", "/v1/{", "/v1/{}", "/v1/a*", "/{a}/{a}", "/v1/{a=b*}"])
def test_malformed_path_template_is_rejected(template: str) -> None:
    with pytest.raises(ValueError, match=r"path|name"):
        parse_template(template)


def test_more_specific_templates_come_first() -> None:
    templates = ["/v1/{name=**}", "/v1/{name}", "/v1/books", "/v1/{name}:archive"]
    ordered = sorted(templates, key=lambda template: parse_template(template).specificity)
    assert ordered == ["/v1/{name}:archive", "/v1/books", "/v1/{name}", "/v1/{name=**}"]


def test_custom_verb_is_read_from_the_contract() -> None:
    (binding,) = bindings_of(PIPELINE.methods_by_name["StreamProcess"])
    assert (binding.verb, binding.body, binding.response_body) == ("WEBSOCKET", "input", "")
    assert binding.template.route_path == "/ws/stream/{customer_id}"


def test_body_and_response_body_are_read_from_the_contract() -> None:
    (binding,) = bindings_of(PIPELINE.methods_by_name["Process"])
    assert binding == HttpBinding("POST", parse_template("/api/v1/process"), "input", "result")


def test_additional_bindings_follow_the_main_one() -> None:
    bindings = bindings_of(LIBRARY.methods_by_name["GetBook"])
    assert [(binding.verb, binding.template.route_path) for binding in bindings] == [
        ("GET", "/v1/shelves/{name_1}/books/{name_2}"),
        ("GET", "/v1/files/{name:path}"),
    ]


def test_method_without_annotation_has_no_binding() -> None:
    assert bindings_of(SIMULATION.methods_by_name["SimulatePopulation"]) == ()
