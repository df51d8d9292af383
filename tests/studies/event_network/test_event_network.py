"""The event network is trained on soundscapes whose parts, levels and windows are as stated."""

import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from fewshot_audio.cli import event_network as command
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.errors import DataError
from fewshot_audio.events.detection.frames import N_MELS, RATE
from fewshot_audio.events.detection.network import CARD_FILE, NETWORK_FILE
from fewshot_audio.models.event_network import EventNetwork
from fewshot_audio.studies.event_network import soundscapes, training
from fewshot_audio.studies.event_network.sounds import MARGIN, SoundPool, cut_events, read_sounds
from fewshot_audio.studies.event_network.soundscapes import FRAMES, PITCHES, draw_soundscape
from fewshot_audio.studies.event_network.training import (
    MOST_OVERLAP,
    EventNetworkSettings,
    draw_windows,
    train_event_network,
)
from tests.events.detection.recordings import chirp


def write_collection(folder: Path) -> Path:
    """Two classes of chirps and one of noise."""
    random = np.random.default_rng(0)
    for name, low, high in (("rising", 1000.0, 3000.0), ("falling", 5000.0, 2000.0)):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            samples = np.zeros(2 * RATE, np.float32)
            sound = chirp(low, high * random.uniform(0.95, 1.05), 0.3)
            samples[RATE // 2 :][: len(sound)] += random.uniform(0.1, 0.9) * sound
            soundfile.write(folder / name / f"{number}.wav", samples, RATE)
    (folder / "hiss").mkdir()
    for number in range(2):
        soundfile.write(folder / "hiss" / f"{number}.wav", 0.1 * random.normal(size=3 * RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SoundPool:
    folder = write_collection(tmp_path_factory.mktemp("recordings") / "own")
    return read_sounds({"own": ClassFolders(folder)}, ["own/hiss"])


def test_events_are_cut_where_librosa_cuts_them() -> None:
    random = np.random.default_rng(2)
    samples = 1e-3 * random.normal(size=4 * RATE).astype(np.float32)
    for start, gain in ((0.5, 0.3), (1.5, 0.9), (2.5, 0.6), (3.3, 0.1)):
        samples[round(start * RATE) :][: round(0.2 * RATE)] += gain * chirp(2000.0, 3000.0, 0.2)
    parts = librosa.effects.split(samples, top_db=25, frame_length=512, hop_length=128)
    loudest = sorted(parts, key=lambda part: -float(np.abs(samples[part[0] : part[1]]).max()))[:3]
    assert [len(event) for event in cut_events(samples)] == pytest.approx([b - a for a, b in loudest], abs=400)
    assert cut_events(np.zeros(RATE, np.float32)) == []


def test_the_pool_has_classes_backgrounds_and_what_is_left_out(pool: SoundPool, tmp_path: Path) -> None:
    assert pool.classes == ("own/falling", "own/rising")
    assert [len(own) for own in pool.events] == [3, 3]
    assert len(pool.backgrounds) == 2
    power = 10.0 ** (np.concatenate(pool.events[0]).astype(float) / 10)
    assert power[:, 40:].sum() > 3 * power[:, :20].sum()  # 2 to 5 kHz
    source = {"own": ClassFolders(write_collection(tmp_path / "own"))}
    assert read_sounds(source, ["own/hiss"], ["own/rising"]).classes == ("own/falling",)
    with pytest.raises(DataError, match="'own/his'"):
        read_sounds(source, ["own/his"])
    with pytest.raises(DataError, match="0 classes of events and 2 backgrounds"):
        read_sounds(source, ["own/hiss"], ["own/rising", "own/falling"])


def test_soundscapes_hold_their_events_at_their_levels(pool: SoundPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundscapes, "SNR", (25.0, 25.0))
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        scape = draw_soundscape(pool, np.ones(1), random)
        assert scape.levels.shape == (FRAMES, N_MELS)
        is_event = np.zeros(FRAMES, bool)
        for start, end, label in scape.events:
            assert 0 < end - start < FRAMES
            assert not is_event[start:end].any()
            is_event[start:end] = True
            seen.add(label)
        loudest = scape.levels.max(axis=1)
        assert loudest[is_event].mean() > loudest[~is_event].mean() + 0.7
    assert seen == set(range(2 * len(PITCHES)))
    again = draw_soundscape(pool, np.ones(1), np.random.default_rng(7))
    np.testing.assert_array_equal(again.levels, draw_soundscape(pool, np.ones(1), np.random.default_rng(7)).levels)


def test_windows_are_near_their_events_or_away_from_all(pool: SoundPool) -> None:
    random = np.random.default_rng(0)
    batch = [draw_soundscape(pool, np.ones(1), random) for _ in range(10)]
    none = len(pool.classes) * len(PITCHES)
    rows = draw_windows(batch, pool, random)
    assert (rows[:, 3] != none).sum() == sum(len(scape.events) for scape in batch)
    assert (rows[:, 3] == none).any()
    for number, first, last, label, _ in rows:
        shares = [
            max(0, min(last, end) - max(first, start)) / (max(last, end) - min(first, start))
            for start, end, own in batch[number].events
            if own == label or label == none
        ]
        assert (max(shares, default=0) < MOST_OVERLAP) if label == none else max(shares) > 0.6


def test_training_learns_what_an_event_is_and_repeats(pool: SoundPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SOUNDSCAPES", 2)
    network = train_event_network(pool, EventNetworkSettings(steps=20, averaging=0.8))
    scape = draw_soundscape(pool, np.ones(1), np.random.default_rng(100))
    with torch.no_grad():
        presence = network(torch.from_numpy(scape.levels).unsqueeze(0))[1][0].numpy()
    is_event = np.zeros(FRAMES, bool)
    for start, end, _ in scape.events:
        is_event[start:end] = True
    assert presence[is_event].mean() > presence[~is_event].mean() + 0.5
    first, second = (train_event_network(pool, EventNetworkSettings(steps=2)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_command_writes_the_network_and_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "SOUNDSCAPES", 2)
    folder = write_collection(tmp_path / "own")
    words = [str(folder), "--background", "own/hiss", "--license", "Free.", "--steps", "1", "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["event_network", *words])
    command.main()
    EventNetwork().load_state_dict(load_file(tmp_path / "out" / NETWORK_FILE))
    card = (tmp_path / "out" / CARD_FILE).read_text()
    assert "6 events of 2 classes of own, over 2 backgrounds" in card
    assert "- Free." in card
    for line, message in (
        ([str(tmp_path / "none"), *words[1:]], "none"),
        ([*words, "--weight", "owm=2"], "--weight owm=2: expected one of own"),
        ([*words, "--weight", "own=-1"], "--weight own=-1"),
    ):
        monkeypatch.setattr(sys, "argv", ["event_network", *line])
        with pytest.raises(SystemExit):
            command.main()
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_recording_that_cannot_be_read_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_collection(tmp_path / "own")
    (folder / "rising" / "broken.wav").write_bytes(b"RIFF")
    pool = read_sounds({"own": ClassFolders(folder)}, ["own/hiss"])
    assert [len(own) for own in pool.events] == [3, 3]
    assert "own/rising/broken.wav: left out" in caplog.text


def test_the_margin_is_silent(pool: SoundPool) -> None:
    for event in pool.events[0]:
        assert event[:MARGIN].max() < event.max() - 15
