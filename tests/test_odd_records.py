"""Records, curves and pictures of other people: what is odd is left out by name, and names are only text."""

import csv
import io
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.evaluation.board import report, tables
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import boards
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import load
from vosbench.evaluation.results import records
from vosbench.evaluation.results.escaping import csv_cell, latex, latex_comment, markdown
from vosbench.evaluation.results.picture_index import INDEX, read_pictures
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.results.scoring_run import show
from vosbench.util.errors import UserError, one_line
from vosbench.util.logs import Plain
from vosbench.util.plain import fits
from vosbench.util.wording import printable

Command = Callable[..., Any]
OLD = Path(__file__).with_name("record_schema_1.json")


def record(method: str = "good", **changes: Any) -> Record:
    objects = {f"v{i}_1": {"J-Mean": 0.5, "F-Mean": 0.1 * i} for i in range(4)}
    facts: dict[str, Any] = {
        "dataset": "d",
        "split": "val",
        "protocol": "davis",
        "resolution": "480p",
        "frames": "all",
        "subset": {"videos": 2, "of": 3, "max_frames": None},
        "checkpoint": {"name": "x.ckpt", "sha256": "ab" * 32},
        "scores": {"J&F-Mean": 0.325, "J-Mean": 0.5, "F-Mean": 0.15},
        "speed": {"fps": 3.0, "latency_ms": {"p50": 1.0, "p95": 2.0}, "device": "cpu"},
        "provenance": {"hashes": {"annotations": "ab"}, "commits": []},
    }
    return Record(method=method, objects=objects, **{**facts, **changes})


def put(run: Path, made: Record) -> Path:
    path = run / "results/d-val-davis.json"
    arrays = {f"{name}/{measure}": np.linspace(0, 1, 5) for name in made.objects for measure in "JF"}
    records.write(made, arrays, path)
    return path


ODD: dict[str, list[Any]] = {
    "schema": [5, 0, "2", None, [2], True],
    "method": [None, 5, ["x"], {}],
    "parameters": ["many", True, 1.5, 10**400],
    "checkpoint": [5, [], {"name": None}, {"sha256": 5}],
    "training": ["long", [], {"seed": "0"}, {"seed": 0, "recipe": "x", "steps": 1, "overrides": "x", "device": "cpu"}],
    "dataset": [None, [], 1.5],
    "subset": ["all", {}, {"videos": 1, "of": 2}, {"videos": "1", "of": 2, "max_frames": None}],
    "scores": [{}, "high", None, [], {"J&F-Mean": None}, {"J&F-Mean": float("nan")}, {"J&F-Mean": 1e999}, {"x": "1"}],
    "objects": [
        None,
        "x",
        {"a_1": None},
        {"a": {}},
        {"a_x": {}},
        {"_": {}},
        {"a_1": {"J-Mean": "x"}},
        {"a_1": {"J-Mean": True}},
    ],
    "speed": ["fast", [], {"fps": "3"}, {"latency_ms": 5}, {"latency_ms": {"p50": "x"}}, {"device": {}}],
    "remarks": [None, "one", [5]],
    "provenance": ["text", [], {"hashes": "x"}, {"hashes": {"annotations": 5}}, {"commits": "x"}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ODD.items() for value in values])
def test_a_field_of_another_type(tmp_path: Path, key: str, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "fine", record())
    path = put(tmp_path / "odd", record())
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert [row.run for row in load(tmp_path)] == ["fine"]
    (line,) = caplog.messages
    assert line.startswith("left out: ")
    assert str(path) in line
    assert f"schema {value}" in line if key == "schema" else key in line
    assert line.endswith("evaluate again, or move it away")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": 2}', b'{"schema": ' + b"9" * 5000 + b"}"],
)
def test_a_file_that_is_no_record(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "fine", record())
    path = put(tmp_path / "odd", record())
    path.write_bytes(content)
    assert [row.run for row in load(tmp_path)] == ["fine"]
    (line,) = caplog.messages
    assert line.startswith("left out: ")
    assert str(path) in line


def test_what_is_no_file_does_not_stop_a_leaderboard(command: Command, tmp_path: Path) -> None:
    put(tmp_path / "runs/fine", record())
    folder = tmp_path / "runs/odd/results"
    (folder / "folder.json").mkdir(parents=True)
    os.mkfifo(folder / "pipe.json")
    done = command("leaderboard", "runs=runs", "resamples=20")
    assert done.status == 0, done.err
    for name in ("folder", "pipe"):
        (line,) = [line for line in (done.out + done.err).splitlines() if f"{name}.json" in line]
        assert f"left out: cannot read record runs/odd/results/{name}.json: it is a {name}, not a file" in line
    assert "good" in next(Path("runs").rglob("leaderboard.md")).read_text()


def test_numbers_that_name_a_split_are_text(tmp_path: Path) -> None:
    path = put(tmp_path, record())
    path.write_text(json.dumps({**json.loads(path.read_text()), "split": 2017, "resolution": 480}))
    assert (records.read(path).split, records.read(path).resolution) == ("2017", "480")


def test_objects_without_a_part_of_the_headline_are_no_error(tmp_path: Path) -> None:
    """G of YouTube-VOS averages groups, which an object may lack."""
    made = record(protocol="youtube-vos", scores={"G": 0.5, "J&F-Mean": 0.5})
    values: list[dict[str, float]] = [{"J-Mean": 0.5, "F-Mean": 0.5, "seen": 1.0}, {"J-Mean": 0.5}, {"seen": 0.0}]
    put(tmp_path, Record(**{**vars(made), "objects": {f"a_{i}": each for i, each in enumerate(values)}}))
    (only,) = boards(load(tmp_path), resamples=20)
    assert "50.0" in tables.to_markdown([only])


def test_records_of_schema_1_with_odd_provenance(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**json.loads(OLD.read_text()), "provenance": "text"}))
    with pytest.raises(UserError, match=r"record .*a\.json cannot be understood in provenance"):
        records.read(tmp_path / "a.json")


def damaged_curves(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(path, **arrays)


def curves_of_nothing(path: Path) -> None:
    save(path, {"nobody/J": np.zeros(3)})


def curves_that_differ_in_length(path: Path) -> None:
    save(path, {"v0_1/J": np.zeros(3), "v0_1/F": np.zeros(4)})


def curves_of_text(path: Path) -> None:
    save(path, {"v0_1/J": np.array(["a", "b"])})


def curves_without_end(path: Path) -> None:
    save(path, {"v0_1/J": np.zeros(2**14)})


@pytest.mark.parametrize(
    "spoil",
    [damaged_curves, curves_of_nothing, curves_that_differ_in_length, curves_of_text, curves_without_end],
)
def test_curves_that_cannot_be_read(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LARGEST", 2**16)
    path = put(tmp_path, record())
    assert "J over time" in report.html(boards(load(tmp_path), resamples=20))
    spoil(records.frames_path(path))
    with pytest.raises(UserError, match=f"cannot read {re.escape(str(records.frames_path(path)))}: "):
        records.read_curves(path)
    assert "J over time" not in report.html(boards(load(tmp_path), resamples=20))
    assert "no curves: " in caplog.text


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The folder of a record, with one picture of its own; another is beside the folder."""
    folder = tmp_path / "runs/one/results/d-val-davis"
    (folder / "moments").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "moments/a.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.jpg")
    return folder


def listed(folder: Path, *files: Any) -> list[str]:
    entries = [{"kind": "frame", "file": file, "sequence": "a", "caption": "x"} for file in files]
    (folder / INDEX).write_text(json.dumps(entries))
    return [picture.file for picture in read_pictures(folder)]


def test_pictures_are_taken_from_beside_their_record_only(
    beside: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (beside / "moments/link.jpg").symlink_to(tmp_path / "secret.jpg")
    (beside / "out").symlink_to(tmp_path)
    (beside / "ring.jpg").symlink_to("ring.jpg")
    outside = [str(tmp_path / "secret.jpg"), "../../../../secret.jpg", "moments/link.jpg", "out/secret.jpg", "a\0b"]
    assert listed(beside, "moments/a.jpg", *outside, "ring.jpg") == ["moments/a.jpg"]
    assert len([line for line in caplog.messages if "outside of its folder" in line]) >= len(outside)


def test_results_may_lie_behind_a_link(beside: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(beside)
    assert listed(tmp_path / "elsewhere", "moments/a.jpg") == ["moments/a.jpg"]


@pytest.mark.parametrize(
    "content", [b"\xff", b"[" * 100_000, b"{}", b'[{"kind": "frame", "file": 5, "sequence": "a", "caption": "x"}]']
)
def test_a_broken_index_is_named(beside: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (beside / INDEX).write_bytes(content)
    assert read_pictures(beside) == []
    assert f"{beside / INDEX}" in caplog.text


EVIL = "\x1b[31m<script>|a\n\\input{/etc/passwd}\r=cmd $\\frac{$ %_&#~^ [x](http://y) `b` *c* \x9b \u202e \ud800"


def evil() -> Record:
    """Foreign text wherever a record has text."""
    made = record(
        EVIL,
        algorithm=EVIL,
        supervision=EVIL,
        training_data=EVIL,
        dataset=EVIL,
        split=EVIL,
        resolution=EVIL,
        frames=EVIL,
        inference=EVIL,
        checkpoint={"name": EVIL, "sha256": EVIL},
        remarks=[EVIL],
        provenance={"hashes": {"annotations": EVIL}, "commits": [EVIL]},
    )
    return Record(**{**vars(made), "objects": {f"{EVIL}_{i}": {"J-Mean": 0.5, "F-Mean": 0.1 * i} for i in range(4)}})


def test_foreign_text_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd\x1b[2J/results/a.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(vars(evil())))  # as another program may write it
    Image.new("RGB", (8, 8)).save(path.parent / "a.jpg")
    (path.parent / "a").mkdir()
    Image.new("RGB", (8, 8)).save(path.parent / "a/x.jpg")
    entry = {"kind": "worst", "file": "x.jpg", "sequence": EVIL, "caption": EVIL}
    (path.parent / "a" / INDEX).write_text(json.dumps([entry]))
    made = boards(load(tmp_path), resamples=20) + boards(load(tmp_path), mixed=True, resamples=20)
    texts = {
        "csv": tables.to_csv(made),
        "md": tables.to_markdown(made),
        "tex": to_latex(made),
        "html": report.html(made),
    }
    tables.show(made)
    texts["terminal"] = capsys.readouterr().out
    for name, text in texts.items():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", text), name
        assert "input{" in text or "input\\{" in text, name
        text.encode()
    assert texts["html"].count("<script") == 3  # those of the page
    assert "<script>|a" not in texts["html"]
    assert not re.search(r"(?<!\\)<", texts["md"])
    assert not re.search(r"\](?<!\\\])\(http", texts["md"].replace("\\](", ""))
    rows = {len(re.findall(r"(?<!\\)\|", line)) for line in texts["md"].splitlines() if line.startswith("|")}
    assert len(rows) <= 2  # one number of columns in each of the two tables
    code = [line for line in texts["tex"].splitlines() if not line.startswith("%")]
    assert not [line for line in code if re.search(r"\\(input|frac)", line)]
    assert all(line.startswith(("\\", "% ")) or line.endswith(r"\\") for line in texts["tex"].splitlines() if line)


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_cells_are_no_formulas(tmp_path: Path, start: str) -> None:
    text = f"{start}cmd|' /C calc'!A1"
    put(tmp_path, record(text, scores={"J&F-Mean": -0.25, f"{start}x": 0.5}))
    made = boards(load(tmp_path), resamples=20)
    header, row = csv.reader(io.StringIO(tables.to_csv(made)))
    found = dict(zip(header, row, strict=True))
    assert found["method"] == f"'{text}"
    assert found[f"'{start}x"] == "0.5"
    assert found["J&F-Mean"] == "-0.25"


def test_escaping() -> None:
    assert [csv_cell(value) for value in ("-5", "+1e3", -5, None, "a=b", "-a")] == [
        "-5",
        "+1e3",
        -5,
        None,
        "a=b",
        "'-a",
    ]
    assert markdown("a|b <b> `c` [d](e) [+1, -1] \\") == "a\\|b \\<b\\> \\`c\\` [d\\](e) [+1, -1] \\\\"
    assert latex("[a] 5 % of $x_1$ {b} \\c #~^ <&>") == (
        r"{}[a] 5 \% of \$x\_1\$ \{b\} \textbackslash{}c "
        r"\#\textasciitilde{}\textasciicircum{} \textless{}\&\textgreater{}"
    )
    assert latex("*a") == "{}*a"
    assert latex_comment("a\n\\input{b}") == r"% a \input{b}"


def test_dollar_signs_are_no_mathematics(tmp_path: Path) -> None:
    put(tmp_path / "a", record("a $\\frac{$ b"))
    put(tmp_path / "b", record("from $5 to $6"))
    page = report.html(boards(load(tmp_path), resamples=20))
    for name in ("a $\\frac{$ b", "from $5 to $6"):
        assert f'<span class="bar-name">{name}</span>' in page


def test_long_names_are_cut_in_plots(tmp_path: Path) -> None:
    put(tmp_path / "a", record("x" * 100_000))
    (made,) = boards(load(tmp_path), resamples=20)
    assert len(names(made.rows)[0]) < 250
    page = report.html([made])
    assert "x" * 250 not in page


def test_brackets_in_names_are_no_markup_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(record("a [/b] [red]c :smile:"))
    assert "a [/b] [red]c :smile:" in capsys.readouterr().out


def test_control_characters_are_spelt_out() -> None:
    assert printable("a\x1b[31m\nb\x9b\u202e\ud800ü") == "a\\x1b[31m\\nb\\x9b\\u202e\\ud800ü"
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert one_line(UserError("no\x1b[2J\nfile")) == "no\\x1b[2J file"
    line = logging.LogRecord("x", logging.INFO, "", 0, "name %s", ("\x1b]0;title\x07",), None)
    assert Plain("%(message)s").format(line) == "name \\x1b]0;title\\x07"


def test_messages_and_logs_spell_them_out(command: Command, davis: Path) -> None:
    video = davis / "JPEGImages/480p/b\x1b[31m"
    (davis / "JPEGImages/480p/b").rename(video)
    done = command("check", "dataset=davis2017", f"dataset.root={davis}", "workers=0")
    assert "\x1b" not in done.out + done.err
    put(Path("runs/fine"), record())
    path = put(Path("runs/odd\x1b[2J"), record())
    path.write_text("{")
    done = command("leaderboard", "runs=runs", "resamples=20", "name=all")
    assert "odd\\x1b[2J" in done.out + done.err
    logs = "".join(log.read_text() for log in Path("runs").rglob("run.log"))
    assert "left out" in logs
    assert "\x1b" not in done.out + done.err + logs


def test_types_of_plain_data() -> None:
    assert fits([1, 2.5], list[float])
    assert not fits([1, True], list[float])
    assert not fits(float("nan"), float)
    assert not fits(10**400, float)
    assert not fits(10**400, int)
    assert fits([1, 2], tuple[int, int])
    assert not fits([1, 2, 3], tuple[int, int])
    assert fits(None, dict[str, int] | None)
    assert not fits({"a": {"b": None}}, dict[str, dict[str, int]])
    assert fits({"a": object()}, dict[str, Any])
