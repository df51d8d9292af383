import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform.vocoder import pitch_shift, time_stretch

RATE = 16_000
SECONDS = torch.arange(2 * RATE, dtype=torch.float64) / RATE


def tone(hertz: float) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * SECONDS).float()


def peak_hertz(x: Tensor) -> float:
    """Frequency of the strongest partial, far finer than a bin."""
    middle = x[4000:-4000].double()
    spectrum = torch.fft.rfft(middle * torch.hann_window(len(middle), dtype=torch.float64), n=1 << 20).abs()
    return float(spectrum.argmax()) * RATE / (1 << 20)


def residual_db(x: Tensor, hertz: float) -> float:
    """Power of all that is not a steady sinusoid of this frequency, in dB under the signal's."""
    middle, time = x[4000:-4000].double(), SECONDS[4000:-4000]
    basis = torch.stack([torch.cos(2 * torch.pi * hertz * time), torch.sin(2 * torch.pi * hertz * time)], dim=1)
    rest = middle - basis @ torch.linalg.lstsq(basis, middle.unsqueeze(1)).solution.squeeze(1)
    return 10 * float((rest.square().sum() / middle.square().sum()).log10())


def bursts(onsets: list[float]) -> Tensor:
    """Decaying tones that begin at given seconds."""
    x = torch.zeros_like(SECONDS)
    for onset in onsets:
        since = (SECONDS - onset).clamp(min=0)
        x += (onset <= SECONDS) * torch.exp(-25 * since) * torch.sin(2 * torch.pi * 700 * since)
    return x.float()


def onset_seconds(x: Tensor, near: float) -> float:
    """When the signal first rises to a quarter of its local maximum around a given time."""
    first = max(int((near - 0.1) * RATE), 0)
    local = x[first : first + RATE // 5].abs()
    return (first + int((local > local.max() / 4).nonzero()[0])) / RATE


def test_a_440_hz_tone_raised_by_4_semitones_peaks_at_554_hz() -> None:
    shifted = pitch_shift(tone(440).unsqueeze(0), torch.tensor([4.0]))[0]
    assert peak_hertz(shifted) == pytest.approx(554.365, rel=0.001)


@pytest.mark.parametrize("hertz", [110.0, 440.0, 1234.5, 3511.0])
def test_tones_are_transposed_exactly_and_stay_clean(hertz: float) -> None:
    semitones = torch.tensor([-4.0, -1.7, 0.4, 2.2, 4.0, 12.0])
    shifted = pitch_shift(tone(hertz).expand(6, -1), semitones)
    for row, by in enumerate(semitones.tolist()):
        expected = hertz * 2 ** (by / 12)
        assert peak_hertz(shifted[row]) == pytest.approx(expected, rel=0.001)
        assert residual_db(shifted[row], expected) < -20
        assert shifted[row, 4000:-4000].square().mean().item() == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("ratio", [0.8, 0.93, 1.1, 1.3])
def test_a_stretch_keeps_the_pitch(ratio: float) -> None:
    stretched = time_stretch(tone(440).unsqueeze(0), torch.tensor([ratio]))[0][: int(len(SECONDS) * min(ratio, 1))]
    assert peak_hertz(stretched) == pytest.approx(440, rel=0.001)


@pytest.mark.parametrize("semitones", [-4.0, 3.3, 4.0])
def test_a_pitch_shift_keeps_onsets_in_place(semitones: float) -> None:
    onsets = [0.1, 0.437, 0.9, 1.2345, 1.7]
    shifted = pitch_shift(bursts(onsets).unsqueeze(0), torch.tensor([semitones]))[0]
    assert [onset_seconds(shifted, onset) for onset in onsets] == pytest.approx(onsets, abs=0.02)


@pytest.mark.parametrize("ratio", [0.9, 1.1, 1.5])
def test_a_stretch_moves_onsets_by_its_ratio(ratio: float) -> None:
    onsets = [0.1, 0.437, 0.9, 1.2]
    stretched = time_stretch(bursts(onsets).unsqueeze(0), torch.tensor([ratio]))[0]
    expected = [onset * ratio for onset in onsets]
    assert [onset_seconds(stretched, onset) for onset in expected] == pytest.approx(expected, abs=0.02)


def test_a_shorter_signal_is_filled_with_silence_and_a_longer_one_cut() -> None:
    x = torch.randn((2, 8000), generator=torch.Generator().manual_seed(0))
    stretched = time_stretch(x, torch.tensor([0.5, 2.0]))
    assert stretched.shape == x.shape
    assert stretched[0, 4800:].abs().max() == 0
    assert stretched[1, -400:].abs().max() > 0.1


@pytest.mark.parametrize("samples", [1, 333, 1600, 20_000])
def test_no_shift_and_ratio_1_give_the_signal_back(samples: int) -> None:
    x = torch.randn((2, samples), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pitch_shift(x, torch.zeros(2)), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(time_stretch(x, torch.ones(2)), x, atol=1e-5, rtol=0)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    x = torch.randn((4, 6000), generator=torch.Generator().manual_seed(0))
    semitones, ratios = torch.tensor([4.0, 0.0, -4.0, 1.3]), torch.tensor([1.1, 0.7, 1.0, 1.4])
    for together, change, values in (
        (pitch_shift(x, semitones), pitch_shift, semitones),
        (time_stretch(x, ratios), time_stretch, ratios),
    ):
        for row in range(4):
            alone = change(x[row : row + 1], values[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=0)


def mel_db(x: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=1024, hop_length=512, n_mels=64)
    decibels: np.ndarray = 10 * np.log10(power + 1e-12)
    return decibels.clip(decibels.max() - 60)


def plucks(pitch: float) -> np.ndarray:
    """Struck strings: harmonics that begin together and die away."""
    time = SECONDS.numpy()
    x = np.zeros_like(time)
    for onset in (0.2, 0.57, 1.0, 1.43):
        since = np.clip(time - onset, 0, None)
        x += sum(np.exp(-12 * since) * np.sin(2 * np.pi * pitch * hertz * since) for hertz in (300, 600, 1203, 1811))
    return x.astype(np.float32)


@pytest.mark.parametrize("semitones", [4.0, -3.0])
def test_struck_strings_come_closer_to_the_truth_than_an_unlocked_vocoder(semitones: float) -> None:
    truth = mel_db(plucks(2 ** (semitones / 12)))
    ours = pitch_shift(torch.from_numpy(plucks(1.0)).unsqueeze(0), torch.tensor([semitones]))[0].numpy()
    unlocked = librosa.effects.pitch_shift(plucks(1.0), sr=RATE, n_steps=semitones)
    error, unlocked_error = (float(np.abs(mel_db(x) - truth).mean()) for x in (ours, unlocked))
    assert error < 1.5
    assert error < unlocked_error / 2
