"""The index of shipped weights: its files, its cards and the table in the docs are what it says."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import vosbench
from vosbench.nn.weight_files import read
from vosbench.util.errors import UserError
from vosbench.weights.card import card, licence
from vosbench.weights.finding import find
from vosbench.weights.index import FOLDER, Shipped, index
from vosbench.weights.origin import known_as

DOCS = Path(__file__).parents[1] / "docs/weights.md"
every = pytest.mark.parametrize("name", index())


def test_all_files_are_in_the_index() -> None:
    assert sorted(entry.path for entry in index().values()) == sorted(FOLDER.glob("*.safetensors"))


@every
def test_a_file_is_that_of_the_index_and_says_the_same(name: str) -> None:
    entry = index()[name]
    found = find(name)
    assert (found.path, found.name) == (entry.path, name)
    _, metadata = read(found.path)
    assert known_as(metadata["method"]) == entry.facts.algorithm
    assert metadata["training_data"] == entry.facts.data
    assert metadata["steps"] == entry.facts.steps
    assert metadata["supervision"] == entry.facts.supervision
    assert metadata["licence"].split(" (")[0] in entry.facts.licence


@every
def test_the_method_loads_them_and_has_as_many_parameters(name: str) -> None:
    facts = index()[name].facts
    method = vosbench.load(facts.choice.removeprefix("method="), f"checkpoint={name}", "device=cpu").method
    assert sum(parameter.numel() for parameter in method.parameters()) == facts.parameters


@every
def test_the_card_is_made_from_the_index(name: str) -> None:
    entry = index()[name]
    text = card(name, entry.path.stat().st_size, entry.facts)
    assert entry.path.with_suffix(".md").read_text() == text, "write what `card` gives into the file"
    lines = set(ModelCard(text).data.to_yaml().splitlines())
    assert {"license: cc-by-nc-4.0", "library_name: vosbench"} < lines
    assert {f"- {entry.facts.algorithm}", f"- {entry.facts.supervision}"} < lines


@every
def test_the_table_of_the_docs_is_made_from_the_index(name: str) -> None:
    entry, facts = index()[name], index()[name].facts
    real, collages = facts.scores
    assert real.interval is not None
    cells = [
        f"`{name}`",
        f"`{facts.choice}`",
        facts.supervision,
        ", ".join(facts.data),
        "{:.1f} [{:.1f}, {:.1f}]".format(real.values["J&F-Mean"], *real.interval),
        f"{collages.values['J&F-Mean']:.1f}",
        facts.licence.split(",")[0],
        f"{entry.path.stat().st_size / 1e6:.1f} MB",
        f"`{entry.sha256[:12]}…`",
    ]
    assert f"| {' | '.join(cells)} |" in DOCS.read_text().splitlines()


def test_other_contents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    path = Path(shutil.copy(index()["mamp"].path, folder))
    changed: dict[str, Shipped] = {"mamp": replace(index()["mamp"], path=path)}
    monkeypatch.setattr("vosbench.weights.finding.index", lambda: changed)
    assert find("mamp").path == path
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    remedy = f"install vosbench again, or in a clone: git -C '{folder}' checkout mamp.safetensors"
    with pytest.raises(UserError) as error:
        find("mamp")
    assert "…, not 1dfcc8f2b086… of the index: " + remedy in str(error.value)
    path.unlink()
    with pytest.raises(UserError, match=f"{path} are missing: install"):
        find("mamp")


def test_unknown_names_list_the_known() -> None:
    names = r"mamp, mask_embedding_small, munet_small, munet_narrow"
    with pytest.raises(UserError, match=rf"init=mampp is no file, .* no shipped name \({names}\); init=none is"):
        find("mampp", key="init")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY-NC 4.0, as DAVIS", "cc-by-nc-4.0"),
        ("Apache-2.0", "apache-2.0"),
        ("CC BY 4.0 (the video)", "cc-by-4.0"),
        ("that of my lab", "other"),
    ],
)
def test_licences_have_the_names_of_the_hub(text: str, name: str) -> None:
    found = licence(text)
    assert found["license"] == name
    assert (found.get("license_name") == text) == (name == "other")
