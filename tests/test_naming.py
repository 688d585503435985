"""Run names: readable, stable, different for different settings, and asking what each option declares."""

import re
from collections.abc import Callable

import pytest

from vosbench.runs.names import LENGTH, run_name, subject

Named = Callable[..., str]


def every(*overrides: str) -> str:
    """The name when all overrides are part of it."""
    return run_name(overrides, lambda key: True)


@pytest.fixture
def name(run_name: Named) -> Named:
    return run_name


def test_what_does_not_change_the_result_is_default(name: Named) -> None:
    assert name("benchmark") == name("benchmark", "method=mamp", "dataset=davis2016", "dataset.split=val") == "default"
    assert name("benchmark", "device=cpu", "workers=0", "overwrite=true", "hydra.verbose=true", "cache=x") == "default"
    assert name("train", "trainer.max_steps=5", "trainer.devices=2", "data.workers=3", "save_every=7") == "default"
    assert name("train", "+trainer.enable_progress_bar=false", "trainer.val_check_interval=9") == "default"
    assert name("predict", "input=x.mp4", "mask=x.png", "output=there", "overlay=true", "fps=3") == "default"


@pytest.mark.parametrize(
    ("verb", "one", "other"),
    [
        ("train", "data=collage", "data=youtube_vos"),
        ("train", "data.batch_size=2", "data.batch_size=4"),
        ("train", "data.sources.collage.repeat=2", "data.sources.collage.repeat=3"),
        ("train", "trainer.precision=bf16-mixed", "trainer.precision=16-mixed"),
        ("train", "trainer.gradient_clip_val=1", "trainer.gradient_clip_val=2"),
        ("train", "init=a", "init=b"),
        ("benchmark", "checkpoint=a", "checkpoint=b"),
        ("benchmark", "precision=bf16-mixed", "precision=16-mixed"),
        ("benchmark", "flow.preset=fast", "flow.preset=medium"),
        ("evaluate", "predictions=a", "predictions=b"),
    ],
)
def test_results_of_different_settings_do_not_collide(name: Named, verb: str, one: str, other: str) -> None:
    assert len({"default", name(verb, one), name(verb, other)}) == 3


def test_where_data_lies_is_no_part_of_the_name(name: Named) -> None:
    source = "data.sources.davis2016.dataset"
    chosen = name("train", "data=davis2016_unlabelled")
    assert chosen == name("train", "data=davis2016_unlabelled", f"{source}.root=elsewhere")
    assert chosen != name("train", "data=davis2016_unlabelled", f"{source}.max_frames=3")


def test_names_say_what_was_changed(name: Named) -> None:
    found = name("benchmark", "method.radius=6", "memory=stm")
    assert re.fullmatch(r"memory-stm\+method\.radius-6-[0-9a-f]{8}", found)


def test_keys_under_the_method_count_and_its_choice_does_not(name: Named) -> None:
    assert name("benchmark", "method=mamp", "method.top_k=5") == name("benchmark", "method.top_k=5") != "default"


def test_a_method_chosen_beside_an_experiment_counts(name: Named) -> None:
    assert name("train", "experiment=mamp/paper") == "default"
    assert name("train", "experiment=mamp/paper", "method=mamp_small").startswith("method-mamp_small-")


def test_order_does_not_matter_and_the_last_of_one_key_wins() -> None:
    assert every("seed=1", "memory=stm") == every("memory=stm", "seed=1")
    assert every("seed=1", "seed=2") == every("seed=2") != every("seed=1")


def test_settings_that_read_alike_have_different_names() -> None:
    assert every("a=b/c") != every("a=b-c")
    assert every("+a=1") != every("~a")


def test_names_are_short_and_need_no_quotes() -> None:
    found = every(*(f"method.some_key_{i}=[{i},'x y',../../etc]" for i in range(20)))
    assert len(found) <= LENGTH + 9
    assert re.fullmatch(r"[\w.+-]+", found)


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
