"""Tables of papers. Each row holds its cells as they are printed, and what these say as numbers and names."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A printed column.

    header   as printed, without arrows and reference numbers
    field    the attribute of `Row` that it gives, a score's name in its protocol, `setting` (what an ablation
             varies) or `difference`
    dataset  the data set of a score; "" for other columns
    """

    header: str
    field: str
    dataset: str = ""


@dataclass(frozen=True, kw_only=True)
class Where:
    """What a score was measured on, as in records. frames: None if the paper does not say which were given."""

    dataset: str
    split: str
    protocol: str
    resolution: str
    frames: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as printed, and what is known of it; None: the table does not say.

    key                stable name within its table, of ablations only
    system             one name for a system in all papers; it includes the backbone where a table has several
    printed            its cells, in the order of the table's columns
    scores             percent, by data set and by the protocol's names
    hours              length of the training videos
    training_data      full names, in the order of the paper
    fine_tuned         whether it is tuned on each test video
    frames, inference, propagation  as in records, where a row is known to differ from its table
    ours               overrides (key → value) of the table's sweep that make this row, or {"row": name}; {}: none
    note               what is odd about its numbers
    """

    key: str = ""
    system: str
    printed: tuple[str, ...]
    scores: dict[str, dict[str, float]]
    year: int | None = None
    backbone: str | None = None
    parameters: int | None = None
    training_data: str | None = None
    hours: float | None = None
    supervision: str | None = None
    fine_tuned: bool | None = None
    fps: float | None = None
    minutes_per_epoch: float | None = None
    frames: str | None = None
    inference: str | None = None
    propagation: str | None = None
    ours: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper.

    name        paper and number, such as "mamp_3"; `title` is the same for readers: "MAMP 3"
    source      the paper's authors, title and year, and the table
    sweep       the sweep of ours that makes the rows of an ablation, such as "mamp/table3"; "": it is no ablation
    transposed  the paper prints systems as columns
    """

    name: str
    title: str
    source: str
    year: int
    caption: str
    results: tuple[Where, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    sweep: str = ""
    transposed: bool = False
