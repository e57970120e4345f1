"""The notation of the golden sequences itself: what each macro stands for."""

from __future__ import annotations

import pytest

from tests.conformance.notation import Seen, expand, stop_at_first_failure


def names(text: str) -> list[tuple[str, str | None]]:
    return [tuple(seen) for seen in expand(text)]


def test_plan_of_several_steps_opens_resources_without_a_step_key():
    assert names("Pn · a{SS SX} b[k0]{SK} · OK") == [
        ("RUN_START", None),
        ("ENGINE_EVENT", None),
        ("RESOURCE_INIT_STARTED", None),
        ("RESOURCE_INIT_SUCCESS", None),
        ("LOGS_CAPTURED", None),
        ("STEP_START", "a"),
        ("STEP_SUCCESS", "a"),
        ("STEP_SKIPPED", "b[k0]"),
        ("ENGINE_EVENT", None),
        ("RUN_SUCCESS", None),
    ]


def test_plan_of_one_step_opens_resources_under_its_key():
    assert names("P1 · outer.a{SS SF} · FAIL") == [
        ("RUN_START", None),
        ("ENGINE_EVENT", None),
        ("RESOURCE_INIT_STARTED", "outer.a"),
        ("RESOURCE_INIT_SUCCESS", "outer.a"),
        ("LOGS_CAPTURED", None),
        ("STEP_START", "outer.a"),
        ("STEP_FAILURE", "outer.a"),
        ("ENGINE_EVENT", None),
        ("RUN_FAILURE", None),
    ]


def test_child_process_adds_its_own_start():
    assert names("M · a«SS SX} · OK") == [
        ("RUN_START", None),
        ("ENGINE_EVENT", None),
        ("STEP_WORKER_STARTING", "a"),
        ("STEP_WORKER_STARTED", "a"),
        ("RESOURCE_INIT_STARTED", "a"),
        ("RESOURCE_INIT_SUCCESS", "a"),
        ("LOGS_CAPTURED", None),
        ("STEP_START", "a"),
        ("STEP_SUCCESS", "a"),
        ("ENGINE_EVENT", None),
        ("RUN_SUCCESS", None),
    ]


def test_tail_may_be_written_out():
    assert names("-{RS EE RI RX RF}")[-1] == ("RUN_FAILURE", None)
    assert names("Pn · a{SS SF} -{RF}")[-2:] == [("STEP_FAILURE", "a"), ("RUN_FAILURE", None)]


def test_hooks_of_one_step_have_no_order():
    assert expand("-{RS} a{SX HS HC} -{OK}") == expand("-{RS} a{SX HC HS} -{OK}")
    assert expand("a{SX HC HC}") != expand("a{SX HC HS}")


def test_order_of_all_else_counts():
    assert expand("a{SS SX}") != expand("a{SX SS}")


def test_stopping_at_the_first_failure_drops_what_follows():
    text = stop_at_first_failure("Pn · a{SS SF HC} b{SS SX} · FAIL")

    assert expand(text)[-2:] == [Seen("STEP_FAILURE", "a"), Seen("RUN_FAILURE", None)]
    assert stop_at_first_failure("Pn · a{SS SX} · OK") == "Pn · a{SS SX} · OK"


@pytest.mark.parametrize("text", ["a{SS", "a SS}", "Pn · a{SS ZZ} · OK", "P1 · · OK"])
def test_mistake_in_the_text_is_refused(text):
    with pytest.raises(ValueError):
        expand(text)
