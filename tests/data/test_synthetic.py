"""Procedural sounds: reproducible, varied within a class, told apart between classes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.data.sources.base import Recording
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.sources.sounds import RECIPES, Recipe, synthesize
from fewshot_audio.data.sources.synthetic import Synthetic, write_wavs
from fewshot_audio.errors import DataError


def recordings(source: Synthetic) -> list[Recording]:
    return [item for item in source.recordings() if isinstance(item, Recording)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_class_makes_usable_sounds_at_any_rate(recipe: Recipe) -> None:
    for seed, rate in ((0, 16_000), (1, 8000)):
        wave = synthesize(recipe, np.random.default_rng(seed), 1.0, rate)
        assert wave.shape == (rate,)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.09 < np.abs(wave).max() < 0.91
        assert wave.std() > 0.005


def test_the_default_is_sixty_classes_of_twenty_clips() -> None:
    items = recordings(Synthetic())
    assert len(items) == 1200
    assert len({item.class_name for item in items}) == 60
    assert len({item.source for item in items}) == 1200


def test_a_sound_depends_on_its_seed_class_and_number_only() -> None:
    few, many = (
        recordings(Synthetic(classes=216, clips=1, seconds=0.5)),
        recordings(Synthetic(classes=30, clips=3, seconds=0.5)),
    )
    by_name = {item.source: item for item in few}
    same = next(item for item in many if item.clip == "0000")
    assert np.array_equal(same.sound.read(16_000).samples, by_name[same.source].sound.read(16_000).samples)
    assert same.sound.fingerprint() == by_name[same.source].sound.fingerprint()
    assert len({item.sound.fingerprint() for item in many}) == len(many)
    other = recordings(Synthetic(classes=216, clips=1, seconds=0.5, seed=1))
    assert not np.array_equal(other[0].sound.read(16_000).samples, few[0].sound.read(16_000).samples)
    assert {item.class_name for item in recordings(Synthetic(seed=1))} != {
        item.class_name for item in recordings(Synthetic())
    }


def heard(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of 20 sounds of a class: the strongest frequency in five moments, and the energy in ten."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == name)
    waves = np.stack([synthesize(recipe, np.random.default_rng(seed), 3.0, 16_000) for seed in range(20)])
    moments = np.stack([waves[:, start : start + 4000] for start in range(10_000, 30_001, 5000)], axis=1)
    peaks = np.abs(np.fft.rfft(moments * np.hanning(4000))).argmax(axis=-1) * 4.0
    return peaks, np.square(waves.reshape(20, 10, -1)).mean(axis=-1)


def test_the_label_is_what_is_heard_and_the_rest_is_chance() -> None:
    level, energy = heard("hollow-level-sustained")
    assert np.mean(np.abs(np.log2(level[:, -1] / level[:, 0])) < 0.1) > 0.8
    assert level[:, 0].max() > 3 * level[:, 0].min()  # the pitch says nothing about the class
    assert np.mean(energy[:, 6] > 0.5 * energy[:, 3]) > 0.8
    rising, falling = heard("hollow-rising-sustained")[0], heard("hollow-falling-sustained")[0]
    assert np.mean(rising[:, -1] > 1.1 * rising[:, 0]) > 0.8
    assert np.mean(falling[:, -1] < falling[:, 0] / 1.1) > 0.8
    struck = heard("hollow-level-struck")[1]
    assert np.mean(struck[:, 6] < 0.5 * struck.max(axis=1)) > 0.8


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"classes": 217}, {"clips": 0}, {"seconds": 0.01}, {"seed": -1}])
def test_impossible_numbers(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=str(next(iter(wrong.values())))):
        Synthetic(**wrong)


def test_written_wavs_are_a_folder_of_class_folders(tmp_path: Path) -> None:
    source = Synthetic(classes=3, clips=2, seconds=0.5)
    paths = write_wavs(source, tmp_path)
    assert len(paths) == 6
    clips = [item for item in ClassFolders(tmp_path).recordings() if isinstance(item, Recording)]
    assert {(item.class_name, item.clip) for item in clips} == {(i.class_name, i.clip) for i in recordings(source)}
    samples, rate = soundfile.read(paths[0], dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(samples, recordings(source)[0].sound.read(16_000).samples, atol=1 / 2**15)
