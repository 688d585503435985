"""The bank of tokens: merging, adding, making room, objects that start later; and reading of tokens, by one formula."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from vosbench.contract import Entry
from vosbench.inference.token_bank import TokenBank, nearest
from vosbench.ops.tokens import CHUNK, Kernel, Tokens, read_tokens


@dataclass(frozen=True)
class Kept:
    tokens: Tokens
    name: str = ""


def tokens(*objects: list[list[float]]) -> Tokens:
    """Keys of each object, one a row; values are their first number twice."""
    keys = torch.tensor(objects).mT
    return Tokens(keys, keys[:, :1].expand(-1, 2, -1).contiguous())


def bank_of(*frames: Tokens, **settings: float) -> TokenBank[Kept]:
    bank: TokenBank[Kept] = TokenBank(**settings)  # type: ignore[arg-type]
    for index, frame in enumerate(frames):
        bank.add(Entry(index, index == 0, Kept(frame, str(index))))
    return bank


def found(bank: TokenBank[Kept]) -> Tokens:
    (entry,) = bank.references(99)
    return entry.value.tokens


def keys_of(bank: TokenBank[Kept], item: int = 0) -> list[list[float]]:
    kept = found(bank)
    assert kept.counted is not None
    rows: list[list[float]] = kept.keys[item][:, kept.counted[item]].T.tolist()
    return sorted(rows)


def test_tokens_that_are_alike_are_merged_and_others_added() -> None:
    old, new = [[2.0, 0.0], [0.0, 1.0]], [[0.0, -3.0], [5.0, 0.1]]
    bank = bank_of(tokens(old), tokens(new), rate=0.1)
    turned = nnf.normalize(0.9 * torch.tensor([1.0, 0.0]) + 0.1 * nnf.normalize(torch.tensor([5.0, 0.1]), dim=0), dim=0)
    expected = sorted([[0.0, -3.0], [0.0, 1.0], (2 * turned).tolist()])
    torch.testing.assert_close(torch.tensor(keys_of(bank)), torch.tensor(expected))


def test_several_new_tokens_that_are_like_one_move_it_once_by_their_mean() -> None:
    bank = bank_of(tokens([[1.0, 0.0], [-1.0, 0.0]]), tokens([[2.0, 0.2], [2.0, -0.2]]), rate=0.5)
    torch.testing.assert_close(torch.tensor(keys_of(bank)), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))


def test_an_object_that_starts_anew_has_no_tokens_of_before() -> None:
    bank = bank_of(tokens([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]]))
    bank.forget([0])
    assert (keys_of(bank, 0), keys_of(bank, 1)) == ([], [[0.0, 2.0], [2.0, 0.0]])
    read, _ = read_tokens(torch.tensor([[1.0], [0.0]]), [found(bank)], scale=5)
    assert not read[0].any()
    bank.add(Entry(1, True, Kept(tokens([[3.0, 0.0]], [[3.0, 0.1]]), "1")))
    assert keys_of(bank, 0) == [[3.0, 0.0]]


def test_values_move_with_their_keys() -> None:
    first, second = tokens([[1.0, 0.0]]), tokens([[1.0, 0.0]])
    second.values[:] = torch.tensor([3.0, 0.0]).view(1, 2, 1)
    kept = found(bank_of(first, second, rate=0.5))
    direction = nnf.normalize(nnf.normalize(torch.tensor([1.0, 1.0]), dim=0) + torch.tensor([1.0, 0.0]), dim=0)
    torch.testing.assert_close(kept.values[0, :, 0], 2**0.5 * direction)


def test_without_room_the_least_used_for_their_age_are_evicted() -> None:
    bank = bank_of(tokens([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), budget=8)  # 4 an object
    _, usage = read_tokens(torch.tensor([[9.0, 9.0, -9.0], [0.0, 0.0, 0.0]]), [found(bank)], scale=1)
    assert usage[0] is not None
    assert usage[0][0, :3].tolist() == [2, 0, 1]
    bank.note_usage(usage)
    bank.add(Entry(1, False, Kept(tokens([[0.0, -1.0], [0.7, -0.7]]))))
    assert keys_of(bank) == [[-1.0, 0.0], [0.0, -1.0], [pytest.approx(0.7), pytest.approx(-0.7)], [1.0, 0.0]]


def test_an_old_token_must_have_been_used_more_than_a_new_one() -> None:
    bank = bank_of(tokens([[1.0, 0.0], [0.0, 1.0]]), budget=4)
    bank.note_usage([torch.tensor([[3.0, 9.0]])])
    bank.add(Entry(1, False, Kept(tokens([[-1.0, 0.0]]))))  # takes the place of the first
    bank.note_usage([torch.tensor([[2.0, 0.0]])])  # log 3 over 4 frames at index 4, against log 10 over 5
    bank.add(Entry(4, False, Kept(tokens([[0.0, -1.0]]))))
    assert keys_of(bank) == [[0.0, -1.0], [0.0, 1.0]]


@pytest.mark.parametrize("chunk", [8, CHUNK])
def test_what_is_used_in_every_frame_stays_however_old(chunk: int) -> None:
    """Usage adds up over reads, as in AFB-URR; the log of one total would fade with age."""
    bank = bank_of(tokens([[1.0, 0.0]]), budget=6, similarity=1)  # 3 tokens
    query = torch.tensor([[40.0], [0.0]]).repeat(1, 20)
    for index in range(1, 60):
        angle = torch.tensor(2 + 0.01 * index)
        bank.add(Entry(index, False, Kept(tokens([[angle.cos().item(), angle.sin().item()]]))))
        bank.note_usage(read_tokens(query, [found(bank)], scale=1, chunk=chunk)[1])
    assert [1.0, 0.0] in keys_of(bank)


def test_a_budget_for_fewer_objects_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"memory\.budget leaves none of 2 objects a token: give at least 3"):
        bank_of(Tokens(torch.randn(2, 3, 4), torch.randn(2, 3, 4)), budget=2)


def test_a_frame_larger_than_the_budget_is_thinned_out_evenly() -> None:
    many = torch.randn(1, 3, 50)
    kept = found(bank_of(Tokens(many, many), Tokens(-many, many), budget=20, similarity=1))
    assert kept.keys.shape == (1, 3, 10)
    assert kept.counted is not None
    assert kept.counted.all()
    cells = torch.arange(50.0).expand(1, 1, -1)
    values = found(bank_of(Tokens(many, cells), budget=20)).values.flatten().sort().values
    assert values[[0, -1]].tolist() == [0, 49]  # the top of the picture and its bottom
    assert set(values.diff().tolist()) == {5, 6}


@pytest.mark.parametrize("chunk", [1, 30, 1 << 20])
def test_the_nearest_of_the_bank_in_pieces_without_empty_slots(chunk: int) -> None:
    bank, new, filled = torch.randn(4, 9), torch.randn(4, 20), torch.arange(9) % 3 > 0
    cosine, which = nearest(bank, filled, new, chunk)
    cosines = nnf.cosine_similarity(bank[:, filled, None], new[:, None], dim=0)
    torch.testing.assert_close(cosine, cosines.amax(0))
    assert torch.equal(which, filled.nonzero().squeeze(1)[cosines.argmax(0)])


def test_the_bank_stops_growing() -> None:
    torch.manual_seed(0)
    bank = bank_of(*(Tokens(torch.randn(2, 8, 30), torch.randn(2, 4, 30)) for _ in range(20)), budget=300)
    kept = found(bank)
    assert kept.counted is not None
    assert kept.keys.shape[2] == 100
    assert kept.counted.all()


def test_a_new_object_has_no_tokens_at_first_and_takes_its_share_of_the_budget() -> None:
    bank = bank_of(tokens([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), budget=8)
    bank.note_usage([torch.tensor([[1.0, 0, 5, 0]]).expm1()])
    bank.replace(lambda kept: Kept(Tokens(torch.cat([kept.tokens.keys] * 2), torch.cat([kept.tokens.values] * 2))))
    kept = found(bank)
    assert kept.counted is not None
    assert kept.counted.tolist() == [[True, True], [False, False]]
    assert keys_of(bank) == [[-1.0, 0.0], [1.0, 0.0]]
    read, _ = read_tokens(torch.tensor([[1.0], [0.0]]), [kept], scale=5)
    assert read[1].tolist() == [[0.0], [0.0]]
    bank.add(Entry(1, True, Kept(tokens([[1.0, 0.0]], [[0.0, 1.0]]))))
    assert keys_of(bank, 1) == [[0.0, 1.0]]


def test_what_the_entry_has_besides_is_the_newest_frame_s() -> None:
    bank = bank_of(tokens([[1.0, 0.0]]), tokens([[0.0, 1.0]]))
    (entry,) = bank.references(2)
    assert (entry.index, entry.value.name) == (1, "1")
    assert not TokenBank().references(1)


def test_methods_without_tokens_need_another_memory() -> None:
    with pytest.raises(ValueError, match="choose another memory="):
        TokenBank().add(Entry(0, True, object()))  # type: ignore[arg-type]
    for key, value in (("budget", 1), ("rate", 2.0), ("similarity", 5.0), ("similarity", -3.0)):
        with pytest.raises(ValueError, match=rf"memory\.{key}={value}"):
            TokenBank(**{key: value})  # type: ignore[arg-type]


def by_loops(query: Tensor, memory: list[Tokens], scale: float) -> Tensor:
    rows = []
    for item in range(len(memory[0].keys)):
        keys = torch.cat([part.keys[item] for part in memory], 1)
        values = torch.cat([part.values[item] for part in memory], 1)
        rows.append(values @ (keys.T @ query * scale).softmax(0))
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [1, 40, 200, 1 << 20])
def test_reading_is_a_softmax_over_all_tokens_of_an_object(chunk: int) -> None:
    torch.manual_seed(0)
    query = torch.randn(4, 7)
    memory = [Tokens(torch.randn(3, 4, t), torch.randn(3, 5, t)) for t in (6, 2)]
    read, _ = read_tokens(query, memory, scale=0.5, chunk=chunk)
    torch.testing.assert_close(read, by_loops(query, memory, 0.5))


@pytest.mark.parametrize("chunk", [1, 40, 1 << 20])
@pytest.mark.parametrize("distance", [False, True])
@pytest.mark.parametrize(("top_k", "deviation"), [(3, None), (8, None), (None, 0.7), (2, 1.5)])
def test_reading_of_the_best_and_of_the_near(
    top_k: int | None, deviation: float | None, distance: bool, chunk: int
) -> None:
    torch.manual_seed(0)
    h, w, t = 2, 3, 8
    query, memory = torch.randn(4, h * w), Tokens(torch.randn(3, 4, t), torch.randn(3, 5, t))
    expected = torch.zeros(3, 5, h * w)
    for item in range(3):
        keys = memory.keys[item]
        affinities = 0.5 * (-(torch.cdist(keys.T, query.T) ** 2) if distance else keys.T @ query)
        weights = affinities.exp()
        for token in range(t if deviation else 0):
            best = int(affinities[token].argmax())
            for cell in range(h * w):
                apart = (cell // w - best // w) ** 2 + (cell % w - best % w) ** 2
                weights[token, cell] *= math.exp(-apart / (2 * (deviation or 1) ** 2))
        for cell in range(h * w):
            read = weights[:, cell].topk(top_k or t).indices
            expected[item, :, cell] = memory.values[item][:, read] @ (weights[read, cell] / weights[read, cell].sum())
    kernel = None if deviation is None else Kernel(deviation, w)
    found, _ = read_tokens(query, [memory], scale=0.5, distance=distance, top_k=top_k, kernel=kernel, chunk=chunk)
    torch.testing.assert_close(found, expected)


def test_tokens_that_are_not_there_do_not_count() -> None:
    torch.manual_seed(0)
    query, full = torch.randn(4, 7), Tokens(torch.randn(2, 4, 6), torch.randn(2, 5, 6))
    counted = torch.tensor([[True] * 4 + [False] * 2] * 2)
    values = full.values * counted.unsqueeze(1)
    read, _ = read_tokens(query, [Tokens(full.keys, values, counted)], scale=0.5)
    torch.testing.assert_close(read, by_loops(query, [Tokens(full.keys[:, :, :4], values[:, :, :4])], 0.5))
