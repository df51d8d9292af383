"""Each augmentation against its definition on sounds for which the result is known."""

import pytest
import torch
from torch import Tensor

from fewshot_audio.studies.any_sound import augment as module
from fewshot_audio.studies.any_sound.augment import add_noise, augment, color, level, limit_band, mask, mix

N, MELS, FRAMES = 64, 40, 50


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def flat(db: float = -30.0) -> Tensor:
    return torch.full((N, MELS, FRAMES), db)


def test_the_level_is_the_mean_power() -> None:
    x = torch.tensor([[[0.0, 10.0], [20.0, 0.0]]])
    torch.testing.assert_close(level(x), 10 * torch.log10(torch.tensor([[[(1 + 10 + 100 + 1) / 4]]])))


def test_coloring_is_smooth_over_frequency_and_the_same_at_all_times() -> None:
    curve = color(flat()) + 30
    assert torch.equal(curve[:, :, :1].expand_as(curve), curve)
    assert curve.std() == pytest.approx(module.COLORING_DB, rel=0.25)
    bends = curve[:, :, 0].diff(n=2, dim=1).abs() > 1e-3  # straight between the points
    assert bends.sum(dim=1).max() <= 2 * (module.COLORING_POINTS - 2)


def test_mixing_adds_the_power_of_another_sound_at_an_snr_in_range() -> None:
    x = flat()
    x[::2] += 20.0
    added = mix(x) - x
    mixed = added.amax(dim=(1, 2)) > 0
    assert 0.2 < mixed.float().mean() < 0.6
    snr = -10 * torch.log10(10 ** (added[mixed][:, 0, 0].double() / 10) - 1)
    low, high = module.MIX_SNR_DB
    assert snr.min() > low - 0.1
    assert snr.max() < high + 0.5
    assert torch.equal(added[~mixed], torch.zeros_like(added[~mixed]))


def test_noise_adds_power_only() -> None:
    added = add_noise(flat()) + 30
    noisy = added.amax(dim=(1, 2)) > 1e-4
    assert 0.1 < noisy.float().mean() < 0.5
    assert added.min() > -1e-4
    assert added[noisy].std(dim=2).mean() > 0  # it flutters


def test_bands_lose_their_power_at_one_end_or_both() -> None:
    lost = flat() - limit_band(flat())
    assert set(lost.unique().tolist()) == {0.0, module.STOP_DB}
    assert not lost[:, round(module.HIGHEST_BOTTOM * MELS) + 1 : round(module.LOWEST_TOP * MELS)].any()
    top, bottom = lost[:, -1, 0] > 0, lost[:, 0, 0] > 0
    assert 0 < top.float().mean() < 0.5
    assert 0 < bottom.float().mean() < 0.5


def test_masks_bring_a_band_and_a_stretch_down_and_nothing_up() -> None:
    masked = mask(flat())
    is_low = masked < -30
    torch.testing.assert_close(masked[is_low], torch.full_like(masked[is_low], -30 - module.MASK_DB))
    bins, frames = is_low.all(dim=2).sum(dim=1), is_low.all(dim=1).sum(dim=1)
    assert 0 < bins.max() <= module.MASK_BINS * MELS + 1
    assert 0 < frames.max() <= module.MASK_FRAMES * FRAMES + 1
    quiet = torch.full((N, MELS, FRAMES), -30.0)
    quiet[:, :10] = -90.0
    assert torch.equal(mask(quiet)[:, :10], quiet[:, :10])


def test_everything_together_is_finite_also_with_silence() -> None:
    x = flat()
    x[:, :, 20:] = -100.0
    augmented = augment(x)
    assert augmented.isfinite().all()
    assert augmented.shape == x.shape
    assert not augmented.equal(x)
