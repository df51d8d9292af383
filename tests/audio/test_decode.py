"""Any file becomes mono float32 at the wanted rate, or is rejected with its own reason."""

import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fewshot_audio.audio import decode as decode_module
from fewshot_audio.audio.decode import decode, is_audio
from fewshot_audio.audio.rejection import Reason, Rejected


def tone(seconds: float = 1.0, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def reason(path: Path) -> Reason:
    with pytest.raises(Rejected) as caught:
        decode(path)
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.flac", "a.ogg", "a.mp3", "a.AIFF", "a.caf", "a.w64"])
def test_formats_and_extensions_of_any_case(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(), 16_000, format=path.suffix[1:].upper())
    samples = decode(path)
    assert is_audio(path)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16_000) <= 2400  # mp3 and ogg pad
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 16_000 / len(samples) - 440) < 2


def test_pcm_is_read_exactly(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    assert np.array_equal(decode(tmp_path / "a.wav"), wave.astype(np.float32) / 2**15)


@pytest.mark.parametrize(("name", "channels"), [("a.wav", 2), ("a.wav", 3), ("a.flac", 2), ("a.aiff", 5)])
def test_16_bit_channels_are_averaged_as_libsndfile_would_scale_them(tmp_path: Path, name: str, channels: int) -> None:
    wave = np.random.default_rng(channels).integers(-(2**15), 2**15, (3000, channels)).astype(np.int16)
    soundfile.write(tmp_path / name, wave, 16_000, subtype="PCM_16")
    read, _ = soundfile.read(tmp_path / name, dtype="float32")
    samples = decode(tmp_path / name)
    np.testing.assert_allclose(samples, read.astype(np.float64).mean(axis=1), atol=2e-7)
    if channels == 2:
        assert np.array_equal(samples, (read[:, 0] + read[:, 1]) / 2)


def test_stereo_24_bit_44k_is_averaged_and_resampled(tmp_path: Path) -> None:
    stereo = np.stack([tone(2.0, 44_100), tone(2.0, 44_100, 1000.0)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44_100, subtype="PCM_24")
    samples = decode(tmp_path / "a.wav")
    expected = soxr.resample(stereo.mean(axis=1), 44_100, 16_000)
    assert len(samples) == 32_000
    np.testing.assert_allclose(samples, expected, atol=1e-5)


def test_eight_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 8))
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "a.wav"), channels.mean(axis=1), atol=1e-6)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(1.5, 22_050)] * 2, axis=1), 22_050, subtype="FLOAT")
    whole = decode(tmp_path / "a.wav")
    monkeypatch.setattr(decode_module, "BLOCK_SAMPLES", 1000)
    np.testing.assert_allclose(decode(tmp_path / "a.wav"), whole, atol=1e-6)


def test_one_sample_is_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), 16_000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").tolist() == [0.5]


def test_missing_and_not_regular(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.wav") == Reason.MISSING
    (tmp_path / "folder.wav").mkdir()
    assert reason(tmp_path / "folder.wav") == Reason.UNREADABLE
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason(tmp_path / "pipe.wav") == Reason.UNREADABLE


def test_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 16_000)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so the mode of the file proves nothing
    assert reason(path) == Reason.DENIED


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "bytes.wav").touch()
    assert reason(tmp_path / "bytes.wav") == Reason.EMPTY
    soundfile.write(tmp_path / "frames.wav", np.empty(0), 16_000)
    assert reason(tmp_path / "frames.wav") == Reason.EMPTY


def test_text_named_wav(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("this is no sound\n" * 100)
    assert reason(tmp_path / "a.wav") == Reason.UNREADABLE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite(tmp_path: Path, value: float) -> None:
    wave = tone()
    wave[12_345] = value
    soundfile.write(tmp_path / "a.wav", wave, 44_100, subtype="FLOAT")
    assert reason(tmp_path / "a.wav") == Reason.NON_FINITE


@pytest.mark.parametrize("extension", ["flac", "wav"])
def test_cut_off(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 16_000)
    path.write_bytes(path.read_bytes()[:50_000])
    assert reason(path) == Reason.DAMAGED


def test_a_wav_that_was_written_into_a_pipe_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 16_000)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # the size was not known
    path.write_bytes(data)
    assert len(decode(path)) == 16_000


def test_absurd_sample_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), 1)
    assert reason(tmp_path / "a.wav") == Reason.UNREADABLE


def fake_ffmpeg(folder: Path, script: str) -> None:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def m4a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A "recording" whose converted form lies beside it, and an empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    soundfile.write(tmp_path / "converted.w64", np.stack([tone(1.0, 44_100)] * 2, axis=1), 44_100, subtype="FLOAT")
    (tmp_path / "a.M4A").write_bytes(b"not really")
    return tmp_path / "a.M4A"


def test_m4a_without_ffmpeg(m4a: Path) -> None:
    assert reason(m4a) == Reason.NEEDS_FFMPEG


def test_m4a_through_ffmpeg(m4a: Path) -> None:
    fake_ffmpeg(m4a.parent, f'for last; do :; done; /bin/cp "{m4a.parent}/converted.w64" "$last"')
    np.testing.assert_allclose(decode(m4a)[1000:-1000], tone()[1000:-1000], atol=1e-3)


def test_m4a_that_ffmpeg_refuses(m4a: Path) -> None:
    fake_ffmpeg(m4a.parent, "echo 'moov atom not found' >&2; exit 1")
    with pytest.raises(Rejected, match="moov atom not found") as caught:
        decode(m4a)
    assert caught.value.reason == Reason.UNREADABLE


def test_a_rejection_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Rejected(Reason.TOO_SHORT, "3 samples")))
    assert (error.reason, error.detail, str(error)) == (Reason.TOO_SHORT, "3 samples", "too short: 3 samples")


def test_not_every_file_claims_to_be_audio() -> None:
    assert not any(is_audio(Path(name)) for name in ("a.txt", "wav", "a.wav.csv", ".wav", "a"))
