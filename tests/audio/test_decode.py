"""Any file becomes mono float32 at the wanted rate, or is rejected with its own reason."""

import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fewshot_audio.audio import sandbox, sndfile
from fewshot_audio.audio.decode import Decoding, Level, decode, is_audio
from fewshot_audio.audio.rejection import Reason, Rejected
from tests.audio import flavors
from tests.audio.flavors import CUT_OFF, HOLES, SECONDS, TWICE, UNREADABLE, WHOLE, Flavor


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
    samples = decode(path).samples
    assert is_audio(path)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16_000) <= 2400  # mp3 and ogg pad
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 16_000 / len(samples) - 440) < 2


def test_pcm_is_read_exactly(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    assert np.array_equal(decode(tmp_path / "a.wav").samples, wave.astype(np.float32) / 2**15)


@pytest.mark.parametrize(("name", "channels"), [("a.wav", 2), ("a.wav", 3), ("a.flac", 2), ("a.aiff", 5)])
def test_16_bit_channels_are_averaged_as_libsndfile_would_scale_them(tmp_path: Path, name: str, channels: int) -> None:
    wave = np.random.default_rng(channels).integers(-(2**15), 2**15, (3000, channels)).astype(np.int16)
    soundfile.write(tmp_path / name, wave, 16_000, subtype="PCM_16")
    read, _ = soundfile.read(tmp_path / name, dtype="float32")
    samples = decode(tmp_path / name).samples
    np.testing.assert_allclose(samples, read.astype(np.float64).mean(axis=1), atol=2e-7)
    if channels == 2:
        assert np.array_equal(samples, (read[:, 0] + read[:, 1]) / 2)


def test_stereo_24_bit_44k_is_averaged_and_resampled(tmp_path: Path) -> None:
    stereo = np.stack([tone(2.0, 44_100), tone(2.0, 44_100, 1000.0)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44_100, subtype="PCM_24")
    samples = decode(tmp_path / "a.wav").samples
    expected = soxr.resample(stereo.mean(axis=1), 44_100, 16_000)
    assert len(samples) == 32_000
    np.testing.assert_allclose(samples, expected, atol=1e-5)


def test_eight_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 8))
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "a.wav").samples, channels.mean(axis=1), atol=1e-6)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(1.5, 22_050)] * 2, axis=1), 22_050, subtype="FLOAT")
    whole = decode(tmp_path / "a.wav").samples
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 1000)
    np.testing.assert_allclose(decode(tmp_path / "a.wav").samples, whole, atol=1e-6)


def test_one_sample_is_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), 16_000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").samples.tolist() == [0.5]


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


def test_absurd_sample_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), 1)
    assert reason(tmp_path / "a.wav") == Reason.UNREADABLE


@pytest.mark.parametrize("flavor", WHOLE, ids=lambda flavor: flavor.name)
def test_every_flavor_is_heard_to_its_end(tmp_path: Path, flavor: Flavor) -> None:
    path = tmp_path / flavor.name
    flavor.make(path)
    samples, damage = decode(path)
    assert len(samples) / 16_000 == pytest.approx(SECONDS * (1 + (flavor.name in TWICE)), abs=flavor.tolerance + 1e-3)
    assert damage == ""
    assert samples.std() > 0.05
    assert is_audio(path)


@pytest.mark.parametrize("flavor", CUT_OFF, ids=lambda flavor: flavor.name)
def test_a_recording_that_was_cut_off_is_taken_as_far_as_it_goes_and_says_so(tmp_path: Path, flavor: Flavor) -> None:
    path = tmp_path / flavor.name
    flavor.make(path)
    samples, damage = decode(path)
    assert 0.3 * SECONDS < len(samples) / 16_000 < 0.7 * SECONDS
    assert re.fullmatch(r"damaged: [\d.]+ (of [\d.]+ s heard|s heard, the end is missing)", damage)
    assert float(damage.split()[1]) == pytest.approx(len(samples) / 16_000, abs=0.01)


@pytest.mark.parametrize("flavor", HOLES, ids=lambda flavor: flavor.name)
def test_a_recording_with_a_hole_is_heard_around_it_and_says_so(tmp_path: Path, flavor: Flavor) -> None:
    path = tmp_path / flavor.name
    flavor.make(path)
    samples, damage = decode(path)
    assert 0.6 * SECONDS < len(samples) / 16_000 < SECONDS + 0.2
    heard, total = (float(number) for number in re.findall(r"\d[\d.]*", damage))
    assert damage.startswith("damaged: ")
    assert 0.5 * SECONDS < heard < total - 0.001
    assert total == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize("flavor", UNREADABLE, ids=lambda flavor: flavor.name)
def test_what_cannot_be_decoded_at_all_is_refused(tmp_path: Path, flavor: Flavor) -> None:
    path = tmp_path / flavor.name
    flavor.make(path)
    assert reason(path) == Reason.UNREADABLE


@pytest.mark.parametrize("name", ["memo.mp3", "memo.wav", "memo.ogg", "memo"])
def test_the_content_decides_not_the_extension(tmp_path: Path, name: str) -> None:
    flavors.encode(tmp_path / name, "aac", "ipod")
    assert len(decode(tmp_path / name).samples) == pytest.approx(16_000 * SECONDS, abs=1600)
    soundfile.write(tmp_path / "sound.m4a", tone(), 16_000, format="WAV")
    assert len(decode(tmp_path / "sound.m4a").samples) == 16_000


def test_times_after_a_hole_stay_right(tmp_path: Path) -> None:
    """A click two seconds before the end, behind a hole, is where it was."""
    sound = flavors.SOUND.copy() * 0.05
    click = len(sound) - 2 * flavors.RATE
    sound[click : click + 100] = 0.9
    path = tmp_path / "a.flac"
    soundfile.write(path, sound, flavors.RATE)
    path.write_bytes(flavors.with_hole(bytearray(path.read_bytes())))
    samples = decode(path).samples
    assert np.abs(samples).argmax() / 16_000 == pytest.approx(SECONDS - 2, abs=0.01)


SECRET = "secret.mp3"
PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
    "m3u8 by url": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    '<AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>file://{path}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("extension", [".wav", ".mp3", ".m4a"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_file_that_names_others_opens_none(tmp_path: Path, kind: str, extension: str) -> None:
    soundfile.write(tmp_path / SECRET, tone(), 16_000)
    path = tmp_path / f"list{extension}"
    path.write_text(PLAYLISTS[kind].format(path=tmp_path / SECRET))
    assert reason(path) == Reason.UNREADABLE


def external_reference(content: bytearray, path: Path) -> bytes:
    """An mp4 file whose samples lie, it says, in another file."""
    reference = b"alis" + bytes(4) + bytes(str(path), "utf-8")
    inside = bytes.fromhex("0000000c") + b"url " + bytes.fromhex("00000001")
    entry = (8 + len(reference)).to_bytes(4, "big") + reference
    assert inside in content
    return bytes(content).replace(inside, entry[: len(inside)])


def test_an_mp4_with_a_reference_to_another_file(tmp_path: Path) -> None:
    flavors.encode(tmp_path / "a.m4a", "aac", "ipod")
    soundfile.write(tmp_path / SECRET, tone(), 16_000)
    content = bytearray((tmp_path / "a.m4a").read_bytes())
    (tmp_path / "b.m4a").write_bytes(external_reference(content, tmp_path / SECRET))
    try:
        samples, _ = decode(tmp_path / "b.m4a")
    except Rejected:
        return
    assert len(samples) == pytest.approx(16_000 * SECONDS, abs=1600)  # its own sound, not that of the other file


@pytest.mark.parametrize("signal_name", ["crash", "hang"])
def test_a_decoder_that_crashes_or_hangs_costs_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_name: str
) -> None:
    good, bad = tmp_path / "good.mp3", tmp_path / "bad.mp3"
    soundfile.write(good, tone(), 16_000)
    bad.write_bytes(good.read_bytes())
    decode(good)
    if signal_name == "hang":
        monkeypatch.setattr(sandbox, "LONGEST_WAIT", 1.0)
    body = "os.kill(os.getpid(), 9)" if signal_name == "crash" else "time.sleep(60)"
    start = "import os, sys, time; from fewshot_audio.audio import decode_worker as w"
    code = f"{start}\nw.answer = lambda request, replies: {body}\nw.main(1 << 32)"
    monkeypatch.setattr(sandbox, "WORKER", (sys.executable, "-c", code))
    sandbox._idle_process().end()
    with pytest.raises(Rejected, match="crashed on it" if signal_name == "crash" else "stood still for 1 s") as caught:
        decode(bad)
    assert caught.value.reason == Reason.DAMAGED
    monkeypatch.undo()
    assert len(decode(good).samples) == 16_000


def test_the_process_imports_nothing_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where recordings of strangers lie, modules of strangers may lie, too."""
    soundfile.write(tmp_path / "a.mp3", tone(), 16_000)
    for name in ("json.py", "numpy.py", "av.py"):
        (tmp_path / name).write_text("import os; os._exit(1)")
    monkeypatch.chdir(tmp_path)
    sandbox._idle_process().end()
    assert len(decode(Path("a.mp3")).samples) == 16_000


def test_a_process_that_may_not_write_and_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_AUDIO_TOKEN", "secret")
    code = (
        "import json, os, pathlib; from fewshot_audio.audio import decode_worker as w\n"
        "def answer(request, replies):\n"
        f"    try: pathlib.Path({str(tmp_path / 'file')!r}).write_text('text')\n"
        "    except OSError as error:\n"
        "        seen = [value for value in os.environ.values() if value == 'secret']\n"
        "        detail = f'{error.strerror} {seen}'\n"
        "        w.reject(replies, w.Rejected(w.Reason.UNREADABLE, detail))\n"
        "w.answer = answer; w.main(1 << 32)"
    )
    process = sandbox.DecodingProcess(command=(sys.executable, "-c", code))
    process.request(tmp_path)
    with pytest.raises(Rejected, match=re.escape("unreadable: File too large []")):
        process.message()
    process.end()


def test_a_caller_that_has_heard_enough_leaves_nothing_for_the_next_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.mp3", np.tile(tone(), 60), 16_000)
    soundfile.write(tmp_path / "short.mp3", tone(), 16_000)
    next(iter(Decoding(tmp_path / "long.mp3")))
    assert len(decode(tmp_path / "short.mp3").samples) == 16_000
    assert len(decode(tmp_path / "long.mp3", span=(2.0, 3.5)).samples) == 24_000


# -- nothing to hear ---------------------------------------------------------------------------------------------------


def quiet(kind: str) -> tuple[np.ndarray, int]:
    random = np.random.default_rng(0)
    if kind == "one sample":
        one = np.zeros(80_000, np.int16)
        one[40_000] = 1
        return one, 16_000
    if kind == "dither":
        return random.integers(-1, 2, 80_000).astype(np.int16), 16_000
    if kind == "channels that cancel each other":
        wave = np.round(tone(5.0) * 20_000).astype(np.int16)
        return np.stack([wave, -wave], axis=1), 16_000
    if kind == "ultrasound":
        return tone(2.0, 384_000, 80_000.0) + 1e-4 * random.standard_normal(768_000), 384_000
    return np.zeros(240_000), 48_000


@pytest.mark.parametrize("kind", ["one sample", "dither", "channels that cancel each other", "ultrasound", "zeros"])
def test_nothing_to_hear_is_silent(tmp_path: Path, kind: str) -> None:
    samples, rate = quiet(kind)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    assert reason(tmp_path / "a.wav") == Reason.SILENT


@pytest.mark.parametrize("extension", ["opus", "mp3", "ogg"])
def test_silence_up_to_the_noise_of_a_codec(tmp_path: Path, extension: str) -> None:
    kind = {"format": "OGG", "subtype": "OPUS"} if extension == "opus" else {}
    soundfile.write(tmp_path / f"a.{extension}", np.zeros(240_000), 48_000, **kind)
    assert reason(tmp_path / f"a.{extension}") == Reason.SILENT


def test_floating_point_samples_have_no_level(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 1e-9 * tone(), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "a.wav").samples, 1e-9 * tone(), atol=1e-12)
    soundfile.write(tmp_path / "b.wav", 1e-3 * tone(), 16_000, subtype="PCM_24")
    assert len(decode(tmp_path / "b.wav").samples) == 16_000


@pytest.mark.parametrize("scale", [1e25, 1.0, 1e-25])
@pytest.mark.parametrize(("db", "is_silent"), [(-59.9, False), (-60.1, True)])
def test_what_is_left_of_a_loud_ultrasound(scale: float, db: float, is_silent: bool) -> None:
    """The squares of the first and the last scale leave the range of float32."""
    level = Level(0.0)
    wave = np.sqrt(2) * tone(2.0)
    level.add_original((scale * wave).astype(np.float32))
    level.add_resampled((scale * 10 ** (db / 20) * wave[:16_000]).astype(np.float32))
    if is_silent:
        with pytest.raises(Rejected, match="below 8000 Hz"):
            level.check(16_000)
    else:
        level.check(16_000)


def test_a_rejection_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Rejected(Reason.TOO_SHORT, "3 samples")))
    assert (error.reason, error.detail, str(error)) == (Reason.TOO_SHORT, "3 samples", "too short: 3 samples")


def test_not_every_file_claims_to_be_audio() -> None:
    assert not any(is_audio(Path(name)) for name in ("a.txt", "wav", "a.wav.csv", ".wav", "a"))
