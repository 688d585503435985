"""Run names: readable, stable, different for different settings."""

import re

import pytest

from vosbench.runs.names import LENGTH, run_name, subject


def test_no_override_that_changes_the_result_is_default() -> None:
    unnamed = ["method=mamp", "dataset=davis2016", "dataset.split=val", "trainer.max_steps=5", "checkpoint=none"]
    assert (
        run_name([])
        == run_name(unnamed)
        == run_name(["overwrite=true", "hydra.verbose=true", "+data.x=1"])
        == "default"
    )


def test_names_say_what_was_changed() -> None:
    assert re.fullmatch(r"memory-long\+method\.radius-6-[0-9a-f]{8}", run_name(["method.radius=6", "memory=long"]))


def test_keys_under_the_method_count_and_its_choice_does_not() -> None:
    assert run_name(["method=mamp", "method.top_k=5"]) == run_name(["method.top_k=5"]) != "default"


def test_a_method_chosen_beside_an_experiment_counts() -> None:
    assert run_name(["experiment=mamp_paper"]) == "default"
    assert run_name(["experiment=mamp_paper", "method=munet"]).startswith("method-munet-")


def test_order_does_not_matter_and_the_last_of_one_key_wins() -> None:
    assert run_name(["seed=1", "memory=long"]) == run_name(["memory=long", "seed=1"])
    assert run_name(["seed=1", "seed=2"]) == run_name(["seed=2"]) != run_name(["seed=1"])


def test_settings_that_read_alike_have_different_names() -> None:
    assert run_name(["a=b/c"]) != run_name(["a=b-c"])
    assert run_name(["+a=1"]) != run_name(["~a"])


def test_names_are_short_and_need_no_quotes() -> None:
    name = run_name([f"method.some_key_{i}=[{i},'x y',../../etc]" for i in range(20)])
    assert len(name) <= LENGTH + 9
    assert re.fullmatch(r"[\w.+-]+", name)


@pytest.mark.parametrize(
    ("choices", "folder"),
    [
        ({"experiment": "mamp_paper", "method": "mamp"}, "mamp_paper"),
        ({"experiment": None, "method": "mamp"}, "mamp"),
        ({"dataset": "davis2016"}, "evaluate"),
    ],
)
def test_subject(choices: dict[str, str | None], folder: str) -> None:
    assert subject(choices, "evaluate") == folder
