import itertools

import pytest

from pantree_enrichment.backends.request_form import DEFAULT_FORM, FormSearch, RequestForm, StructuredOutputMode


def test_every_single_refusal_is_found_without_a_hint() -> None:
    for change in (
        RequestForm(mode=StructuredOutputMode.GUIDED_JSON),
        RequestForm(limit_field="max_completion_tokens"),
        RequestForm(limit_field=""),
        RequestForm(has_temperature=False),
        RequestForm(has_system_role=False),
        RequestForm(is_streamed=False),
    ):
        search = FormSearch(DEFAULT_FORM)
        while search.form != change:
            assert search.refuse("")


def test_search_ends_with_the_form_that_has_nothing_to_refuse() -> None:
    search = FormSearch(DEFAULT_FORM)
    count = sum(1 for _ in itertools.takewhile(lambda _: search.refuse(""), itertools.count()))
    assert count < 12
    assert search.form.body("m", "prompt", "items", 9) == {
        "model": "m",
        "messages": [{"role": "user", "content": "prompt\n\nitems"}],
    }


@pytest.mark.parametrize(
    ("message", "form"),
    [
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'",
            RequestForm(limit_field="max_completion_tokens"),
        ),
        ("max_tokens: Extra inputs are not permitted", RequestForm(limit_field="")),
        ("'temperature' does not support 0 with this model", RequestForm(has_temperature=False)),
        ("System role not supported", RequestForm(has_system_role=False)),
        ("Conversation roles must alternate user/assistant/user/assistant", RequestForm(has_system_role=False)),
        ("streaming is not enabled", RequestForm(is_streamed=False)),
        ("maxLength is not implemented", RequestForm(mode=StructuredOutputMode.PLAIN_SCHEMA)),
        ("failed to parse grammar", RequestForm(mode=StructuredOutputMode.PLAIN_SCHEMA)),
    ],
)
def test_message_of_the_server_decides_what_to_change(message: str, form: RequestForm) -> None:
    search = FormSearch(DEFAULT_FORM)
    assert search.refuse(message)
    assert search.form == form


def test_several_refusals_add_up() -> None:
    search = FormSearch(DEFAULT_FORM)
    for message in ("System role not supported", "use max_completion_tokens", "no json_schema", "no json_schema"):
        assert search.refuse(message)
    assert search.form == RequestForm(
        mode=StructuredOutputMode.GUIDED_JSON, limit_field="max_completion_tokens", has_system_role=False
    )
