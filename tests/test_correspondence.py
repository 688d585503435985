"""The correspondence losses of mask embedding against loops, on features that match or do not, and in training."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import pytest
import torch
import torch.nn.functional as nnf
import yaml
from hydra.utils import get_object, instantiate
from torch import Tensor, nn

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.contrastive import Cells, Contrastive, far_pairs, long_term, short_term
from vosbench.methods.mask_embedding.correspondence import Correspondence
from vosbench.methods.mask_embedding.cycle import Cycle
from vosbench.methods.mask_embedding.photometric import Photometric
from vosbench.methods.mask_embedding.views import draw_views
from vosbench.ops.align import resize, sample_centres, upsample_centres
from vosbench.ops.colour import normalised_lab
from vosbench.ops.draws import Draws

STRIDE = 8
LOSSES: dict[str, Correspondence] = {
    "contrastive": Contrastive(),
    "photometric": Photometric(radius=2),
    "cycle": Cycle(patch=2, step=2),
}


def clip_of(frames: Tensor, indices: Sequence[Sequence[int]] | None = None, valid: Tensor | None = None) -> Clip:
    b, t, _, h, w = frames.shape
    valid = torch.ones(b, t, h, w, dtype=torch.bool) if valid is None else valid
    places = torch.arange(0, 5 * t, 5).repeat(b, 1) if indices is None else torch.tensor(indices)
    return Clip(frames, None, places, tuple("abcdef"[:b]), valid)


def noise(b: int = 2, t: int = 3, h: int = 32, w: int = 40, cell: int = 8, seed: int = 0) -> Tensor:
    """Smooth noise in colour, another in each frame."""
    generator = torch.Generator().manual_seed(seed)
    return resize(torch.rand(b * t, 3, h // cell + 1, w // cell + 1, generator=generator), (h, w)).view(b, t, 3, h, w)


def still(b: int = 2, t: int = 3, h: int = 48, w: int = 48) -> Tensor:
    """Frames of a video in which nothing moves: the colour tells the place."""
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    return torch.stack((x, y, (x + y) / 2)).expand(b, t, 3, h, w)


def moving(b: int, t: int, size: int, speed: int) -> Tensor:
    """Textures that move right by `speed` pixels a frame."""
    wide = noise(b, 1, size, size + speed * t, cell=4)[:, 0]
    return torch.stack([wide[..., speed * (t - i) : speed * (t - i) + size] for i in range(t)], 1)


def sampled(images: Tensor) -> Tensor:
    """A linear encoder, up to the norm."""
    return nnf.normalize(sample_centres(images, STRIDE))


def fingerprint(images: Tensor) -> Tensor:
    """Keys that similar colours share and others do not."""
    waves = torch.randn(64, 3, generator=torch.Generator().manual_seed(1)) * 12
    phase = torch.einsum("kc,nchw->nkhw", waves, sample_centres(images, STRIDE))
    return nnf.normalize(torch.cat((phase.cos(), phase.sin()), 1))


def shuffled(encoder: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same keys in other places, in each image others."""
    generator = torch.Generator().manual_seed(0)

    def encode(images: Tensor) -> Tensor:
        keys = encoder(images)
        cells = keys.flatten(2)
        mixed = [each[:, torch.randperm(cells.shape[2], generator=generator)] for each in cells]
        return torch.stack(mixed).view_as(keys)

    return encode


def total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


# --- contrastive


def contrastive_by_loops(
    loss: Contrastive, images: Tensor, indices: Sequence[Sequence[int]], encoder: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """Equations 12, 14 and 15, cell by cell; the random views are those the loss draws after `manual_seed(3)`."""
    b, t, _, h, w = images.shape
    torch.manual_seed(3)
    view = draw_views(Draws(torch.randint(2**62, (b,)).tolist()), b * t, (h, w), loss.scale, loss.flip)
    keys, seen = encoder(images.flatten(0, 1)), encoder(view.images(images.flatten(0, 1)))
    everywhere = torch.ones_like(keys[:, 0], dtype=torch.bool)
    short, long = [], []

    def entropy(query: Tensor, frame: Tensor, label: int) -> float:
        similarities = [float(query @ cell) / loss.temperature for cell in frame.flatten(1).T]
        return math.log(sum(map(math.exp, similarities))) - similarities[label]

    for clip in range(b):
        for i in range(t):
            number = clip * t + i
            phi = view.take(torch.tensor([number]))
            for j in range(t):
                other = clip * t + j
                steps = [abs(after - before) for before, after in itertools.pairwise(indices[clip])]
                if j == i + 1 and steps[i] == min(steps):
                    moved, inside = phi.keys(keys[other : other + 1], everywhere[:1])
                    for k in inside.flatten().nonzero().flatten().tolist():
                        short.append(entropy(moved[0].flatten(1)[:, k], seen[number], k))
                if abs(indices[clip][i] - indices[clip][j]) >= loss.min_gap:
                    moved, inside = phi.keys(keys[number : number + 1], everywhere[:1])
                    for k in inside.flatten().nonzero().flatten().tolist():
                        label = int((seen[number].flatten(1)[:, k] @ keys[other].flatten(1)).argmax())
                        long.append(entropy(moved[0].flatten(1)[:, k], keys[other], label))
    return {"short": loss.short * sum(short) / len(short), "long": loss.long * sum(long) / len(long)}


@pytest.mark.parametrize(
    "loss", [Contrastive(), Contrastive(temperature=0.1, short=0.3, long=0.2, min_gap=4, scale=(0.8, 0.9), flip=1)]
)
def test_the_contrastive_loss_is_its_definition(loss: Contrastive) -> None:
    images, indices = noise(), [[0, 3, 7], [4, 9, 30]]
    encoder = tiny().requires_grad_(False)
    expected = contrastive_by_loops(loss, images, indices, encoder)
    torch.manual_seed(3)
    terms = loss(encoder, clip_of(images, indices))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_cells_outside_of_the_picture_are_no_labels_and_have_none() -> None:
    """Three cells a frame, by hand: the logits of unit vectors are 1/τ or 0."""
    basis = torch.eye(3).unsqueeze(0)
    seen = Cells(basis, torch.tensor([[True, False, True]]))
    moved = Cells(basis[:, [0, 1, 0]], torch.tensor([[True, True, True]]))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))  # one other cell takes part
    assert short_term(seen, moved, 0.5).item() == pytest.approx((right + wrong) / 2)
    # The long term's first cell would choose cell 0 of the anchor, which is padding: it takes the next best, cell 1.
    anchor = Cells(basis, torch.tensor([[False, True, True]]))
    views = Cells(nnf.normalize(torch.tensor([[[1.0, 0.1, 0], [0, 0, 1], [0, 0, 1]]]), dim=2), torch.ones(1, 3) > 0)
    moved = Cells(basis, torch.tensor([[True, False, True]]))
    expected = (math.log(2) + right) / 2
    assert long_term(anchor, views, moved, 0.5).item() == pytest.approx(expected)


def test_far_pairs_are_of_one_clip_and_both_ways_round() -> None:
    pairs = far_pairs(torch.tensor([[0, 4, 5], [7, 8, 9], [20, 14, 0]]), 5)
    assert set(map(tuple, pairs.T.tolist())) == {(0, 2), (2, 0), (6, 7), (7, 6), (6, 8), (8, 6), (7, 8), (8, 7)}
    assert far_pairs(torch.tensor([[3, 3]]), 0).numel() == 0  # a frame is not its own distant frame


def test_without_a_distant_pair_the_long_term_is_zero() -> None:
    encoder = tiny()
    terms = Contrastive(short=0)(encoder, clip_of(noise(), [[0, 1, 2]] * 2))
    assert {name: term.item() for name, term in terms.items()} == {"long": 0.0}
    total(terms).backward()
    assert all(p.grad is not None and not p.grad.any() for p in encoder.parameters())


def test_a_term_without_weight_is_left_out() -> None:
    assert Contrastive(long=0)(sampled, clip_of(noise())).keys() == {"short"}
    assert Contrastive(short=0)(sampled, clip_of(noise())).keys() == {"long"}


def test_labels_pass_no_gradient() -> None:
    """The short term trains both views; the long one only what is matched and what it is matched with."""
    for loss, both in ((Contrastive(long=0), True), (Contrastive(short=0), False)):
        outputs: list[Tensor] = []

        def encoder(images: Tensor, outputs: list[Tensor] = outputs) -> Tensor:
            outputs.append(sampled(images).requires_grad_())
            return outputs[-1]

        total(loss(encoder, clip_of(noise()))).backward()
        plain, equivariant = outputs
        assert plain.grad is not None
        assert plain.grad.flatten(1).any(1).sum() > 3
        assert (equivariant.grad is not None) == both


def test_every_frame_is_encoded_once_as_it_is_and_once_transformed() -> None:
    counts: list[int] = []

    def encoder(images: Tensor) -> Tensor:
        counts.append(len(images))
        return sampled(images)

    Contrastive()(encoder, clip_of(noise(b=2, t=4)))
    assert counts == [8, 8]


# --- photometric


def test_the_photometric_loss_is_its_definition(reference: dict[str, Any]) -> None:
    images, seen = noise(h=48, w=40), list[Tensor]()
    valid = torch.ones(2, 3, 48, 40, dtype=torch.bool)
    valid[1, :, 36:] = False

    def encoder(lab: Tensor) -> Tensor:
        seen.append(lab)
        return sampled(lab + 0.1)

    dropped = set()
    for seed in range(6):
        seen.clear()
        torch.manual_seed(seed)
        (loss,) = Photometric(radius=2, temperature=0.1, weight=3)(encoder, clip_of(images, valid=valid)).values()
        channel = next(c for c in (1, 2) if not seen[0][:, c].any())
        dropped.add(channel)
        lab = normalised_lab(images).masked_fill(~valid.unsqueeze(2), 0)
        for frame, shown in zip(lab.unbind(1), seen, strict=True):
            kept = [c for c in range(3) if c != channel]
            torch.testing.assert_close(shown[:, kept], 1.5 * frame[:, kept])
            assert not shown[:, channel].any()
        target = lab[:, :, channel : channel + 1]
        keys, values = [sampled(frame + 0.1) for frame in seen], [v[..., ::8, ::8] for v in target.unbind(1)]
        read = reference["unfold_readout"](keys[-1], keys[:-1], values[:-1], radius=2, scale=10)
        error = 20 * (upsample_centres(read, STRIDE) - target[:, -1]).abs()
        torch.testing.assert_close(loss, 3 * torch.where(error < 1, error**2 / 2, error - 0.5)[valid[:, -1:]].mean())
    assert dropped == {1, 2}


def test_normalised_lab_is_what_mamp_sees() -> None:
    white_black_padding = torch.tensor([[1.0, 0.0, -1.0]]).expand(3, 1, 3)
    lab = normalised_lab(white_black_padding)
    torch.testing.assert_close(lab[:, 0].T, torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 0, 0]]), atol=1e-3, rtol=0)


def sampled_off_black(images: Tensor) -> Tensor:
    """Keys of unit norm also where an image is 0."""
    return sampled(images + 0.5)


# --- cycle


def cycle_by_loops(keys: Tensor, patch: int, step: int, temperature: float) -> float:
    """Mean over walks 0 → k → 0 and nodes, with plain products of stochastic matrices; keys: t c h w of one clip."""
    nodes = []
    for frame in keys:
        rows, columns = (range(0, n - patch + 1, step) for n in frame.shape[1:])
        pooled = [frame[:, y : y + patch, x : x + patch].mean((1, 2)) for y in rows for x in columns]
        nodes.append(torch.stack([node / node.norm() for node in pooled]))
    losses = []
    for k in range(1, len(nodes)):
        path = [*range(k + 1), *range(k - 1, -1, -1)]
        walk = torch.eye(len(nodes[0]))
        for here, following in itertools.pairwise(path):
            walk = walk @ torch.stack([(row / temperature).softmax(0) for row in nodes[here] @ nodes[following].T])
        losses += [-math.log(walk[n, n]) for n in range(len(walk))]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("t", [2, 4])
def test_the_cycle_loss_is_its_definition(t: int) -> None:
    images = noise(b=2, t=t, h=48, w=40)
    loss = Cycle(temperature=0.2, dropout=0, patch=2, step=1, weight=2)(sampled, clip_of(images))["cycle"]
    expected = [cycle_by_loops(sampled(frames), 2, 1, 0.2) for frames in images]
    assert loss.item() == pytest.approx(2 * sum(expected) / 2, rel=1e-4)


def test_the_default_nodes_are_a_seven_by_seven_grid_on_256_pixels() -> None:
    assert Cycle()._nodes(torch.rand(1, 4, 32, 32)).shape == (1, 49, 4)


def test_edges_are_dropped_at_random_and_never_all() -> None:
    clip = clip_of(still())
    losses = set()
    for seed in range(3):
        torch.manual_seed(seed)
        losses.add(Cycle(dropout=0.4, patch=1, step=1)(fingerprint, clip)["cycle"].item())
    assert len(losses) == 3
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    # With next to no edge left, every row is uniform or leads to one node: still finite.
    assert Cycle(dropout=0.999, patch=2, step=2)(fingerprint, clip)["cycle"].item() == pytest.approx(math.log(9), abs=2)
    share = (Cycle(dropout=0.1)._transition(torch.zeros(1, 200, 200), Draws([0])) == 0).float().mean()
    assert share == pytest.approx(0.1, abs=0.01)


def test_walks_do_not_start_in_padding() -> None:
    images, valid = noise(b=1, h=48, w=48), torch.ones(1, 3, 48, 48, dtype=torch.bool)
    valid[..., 16:] = False
    keys = sampled_off_black(images.masked_fill(~valid.unsqueeze(2), -1).flatten(0, 1))
    loss = Cycle(dropout=0, patch=1, step=1)
    nodes = loss._nodes(keys).unsqueeze(0)
    start = (torch.arange(36) % 6 < 2).unsqueeze(0)
    expected = loss._round_trips(nodes, start, Draws([0]))
    assert expected != loss._round_trips(nodes, torch.ones_like(start), Draws([0]))
    assert loss(sampled_off_black, clip_of(images, valid=valid))["cycle"] == expected


# --- all


@pytest.mark.parametrize("loss", [Contrastive(scale=(1, 1), flip=0), Cycle(dropout=0, patch=1, step=1)])
def test_features_that_match_have_next_to_no_loss(loss: Correspondence) -> None:
    right = total(loss(fingerprint, clip_of(still())))
    wrong = total(loss(fingerprint, clip_of(noise(h=48, w=48))))  # frames that have nothing to do with each other
    assert right < 0.01
    assert wrong > 0.5


def test_features_in_other_places_match_less() -> None:
    """Not so for walks, which may take any way as long as they return."""
    loss, clip = Contrastive(scale=(1, 1), flip=0), clip_of(still())
    assert total(loss(shuffled(fingerprint), clip)) > 100 * total(loss(fingerprint, clip))
    loss_of_walks = Cycle(dropout=0, patch=1, step=1)
    assert total(loss_of_walks(shuffled(fingerprint), clip)) < 0.01


def test_features_that_match_under_views_have_less_loss_than_others() -> None:
    loss, clip = Contrastive(), clip_of(still())
    torch.manual_seed(0)
    right = total(loss(fingerprint, clip))
    assert right < 0.5 * total(loss(shuffled(fingerprint), clip))


def test_features_that_match_rebuild_colours() -> None:
    loss, clip = Photometric(radius=6), clip_of(still(h=64, w=64))
    right = total(loss(fingerprint, clip))
    assert right < 0.5 * total(loss(shuffled(fingerprint), clip))


@pytest.mark.parametrize("name", LOSSES)
def test_padded_cells_do_not_count(name: str) -> None:
    """Whatever the frames hold there. Their keys are no positives or negatives of the contrastive loss either."""
    images, valid = noise(h=48, w=48), torch.ones(2, 3, 48, 48, dtype=torch.bool)
    valid[:, :, 32:], valid[..., 40:] = False, False
    losses = []
    for filler in (0.0, 0.7):

        def encoder(pictures: Tensor, filler: float = filler) -> Tensor:
            keys = sampled_off_black(pictures)
            if name == "contrastive":
                garbage = torch.tensor([filler, 1, 0]).view(3, 1, 1).expand_as(keys)
                keys = torch.where(sample_centres(pictures, STRIDE) < 0, nnf.normalize(garbage), keys)
            return keys

        torch.manual_seed(0)
        losses.append(total(LOSSES[name](encoder, clip_of(images + filler * ~valid.unsqueeze(2), valid=valid))))
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)


def test_a_frame_of_nothing_but_padding_gives_no_nan() -> None:
    valid = torch.zeros(2, 3, 32, 40, dtype=torch.bool)
    for loss in LOSSES.values():
        assert total(loss(sampled_off_black, clip_of(noise(), valid=valid))) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_similarities_are_made_in_full_precision(name: str) -> None:
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(total(LOSSES[name](sampled_off_black, clip_of(noise()))))
    assert losses[0].dtype == losses[1].dtype == torch.float32
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("name", LOSSES)
def test_random_choices_are_of_torch_s_generator(name: str) -> None:
    clip, found = clip_of(noise(h=48, w=48)), []
    for seed in (0, 0, *range(1, 5)):
        torch.manual_seed(seed)
        found.append(total(LOSSES[name](sampled_off_black, clip)).item())
    assert found[0] == found[1]
    assert len(set(found)) > 1


def tiny() -> nn.Module:
    """An encoder of two layers at stride 8."""

    class Unit(nn.Module):
        def forward(self, keys: Tensor) -> Tensor:
            return nnf.normalize(keys)

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 24, 9, 4, 4), nn.ReLU(), nn.Conv2d(24, 16, 5, 2, 2), Unit())


@pytest.mark.parametrize("name", LOSSES)
def test_training_lowers_the_loss(name: str) -> None:
    loss, encoder = LOSSES[name], tiny()
    clip = clip_of(moving(b=4, t=3, size=64, speed=3))
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)

    @torch.no_grad()
    def measured() -> Tensor:
        """The terms, each by itself, over several draws."""
        torch.manual_seed(100)
        return torch.stack([torch.stack(list(loss(encoder, clip).values())) for _ in range(8)]).mean(0)

    before = measured()
    for step in range(60):
        torch.manual_seed(step)
        optimizer.zero_grad()
        total(loss(encoder, clip)).backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert (measured() < 0.8 * before).all(), (before, measured())


# --- options


@pytest.mark.parametrize("name", LOSSES)
def test_the_recipes_are_the_defaults(name: str) -> None:
    text = files("vosbench.conf").joinpath(f"correspondence/{name}.yaml").read_text()
    options = yaml.safe_load(text)
    default = get_object(options["_target_"])()
    made = instantiate(options, _convert_="all")
    assert type(made) is type(LOSSES[name])
    assert options.keys() - {"_target_"} == vars(default).keys() - {"lab"}
    for key, value in vars(default).items():
        assert list(getattr(made, key)) == list(value) if key == "scale" else getattr(made, key) == value


def test_only_the_photometric_loss_wants_lab() -> None:
    assert {name: loss.lab for name, loss in LOSSES.items()} == {
        "contrastive": False,
        "photometric": True,
        "cycle": False,
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Contrastive(temperature=0), "correspondence.temperature=0"),
        (lambda: Contrastive(short=0, long=0), "short=0, long=0"),
        (lambda: Contrastive(short=-1), "short=-1"),
        (lambda: Contrastive(scale=(0.5,)), r"correspondence.scale=\[0.5\]"),
        (lambda: Contrastive(scale=(0, 1)), r"correspondence.scale=\[0, 1\]"),
        (lambda: Photometric(radius=0), "radius=0"),
        (lambda: Photometric(temperature=-1), "temperature=-1"),
        (lambda: Cycle(dropout=1), "dropout=1"),
        (lambda: Cycle(temperature=0), "temperature=0"),
        (lambda: Cycle(patch=0), "patch=0"),
        (lambda: Cycle()(sampled, clip_of(noise())), r"patch=8, step=4 fit on 4×5 cells.*data.clips.size"),
    ],
)
def test_options_that_make_no_sense(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("name", LOSSES)
def test_one_frame_is_no_clip(name: str) -> None:
    with pytest.raises(ValueError, match=r"clips of one frame.*data\.clips\.sampler"):
        LOSSES[name](sampled, clip_of(noise(t=1)))
