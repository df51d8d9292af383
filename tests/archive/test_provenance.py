"""What names and chunks of files say of a recording."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.archive.provenance import Provenance, provenance


def wav(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"WAVE"
    for kind, content in [(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16)), *chunks, (b"data", b"\0" * 4)]:
        body += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("name", "time", "site"),
    [
        ("20240131_235900.WAV", "2024-01-31T23:59:00", ""),
        ("north/20240131_235900T.WAV", "2024-01-31T23:59:00", "north"),
        ("north/POND_20240131_235900.wav", "2024-01-31T23:59:00", "POND"),
        ("SM4-07_20240131-235900_x.flac", "2024-01-31T23:59:00", "SM4-07"),
        ("2MU01234_20240229_000000.wav", "2024-02-29T00:00:00", "2MU01234"),
        ("5E2B3C40.WAV", "2020-01-24T18:49:36", ""),
        ("north/20241331_235900.WAV", "", "north"),  # no thirteenth month
        ("north/12345678.wav", "", "north"),  # a number of a clip
        ("north/120240131_2359001.wav", "", "north"),
        ("a.wav", "", ""),
    ],
)
def test_names(name: str, time: str, site: str) -> None:
    assert provenance(Path("missing"), name) == Provenance(time, site, "")


def test_chunks_come_before_names(tmp_path: Path) -> None:
    path, name = tmp_path / "x.wav", "S_20200101_000000.wav"
    bext = bytearray(602)
    bext[256:266], bext[320:338] = b"Zoom F3\0\0\0", b"2021-05-0612:34:56"
    path.write_bytes(wav([(b"bext", bytes(bext))]))
    assert provenance(path, name) == Provenance("2021-05-06T12:34:56", "S", "Zoom F3")
    comment = b"Recorded at 19:17:30 26/03/2021 (UTC+1) by AudioMoth 24F31901603B98B5 at medium gain while battery"
    info = b"INFOICMT" + struct.pack("<I", len(comment)) + comment
    path.write_bytes(wav([(b"bext", bytes(bext)), (b"LIST", info)]))
    assert provenance(path, name) == Provenance("2021-03-26T19:17:30", "S", "AudioMoth 24F31901603B98B5")
    guano = "GUANO|Version: 1.0\nTimestamp: 2022-07-08T21:00:05.25+02:00\nMake: Wildlife\nModel: SM4\nSite: Höhle\n"
    path.write_bytes(wav([(b"LIST", info), (b"guan", guano.encode())]))
    assert provenance(path, name) == Provenance("2022-07-08T21:00:05", "Höhle", "Wildlife SM4")


def test_signs_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav([(b"guan", b"Make: a\x1b[31m\nTimestamp: never\n" + b"Site: " + b"x" * 5000)]))
    own = provenance(path, "a.wav")
    assert (own.recorder, own.time, len(own.site)) == ("a\\x1b[31m", "", 200)


@given(st.binary(max_size=400), st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_file_and_name_are_read(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    for head in (b"", b"RIFF\0\0\0\0WAVEguan", b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xff", b"RF64\0\0\0\0WAVEbext"):
        path.write_bytes(head + content)
        own = provenance(path, name)
        assert all(text.isprintable() for text in (own.time, own.site, own.recorder))
