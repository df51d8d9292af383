"""Damaged tables of datasets and sources: read or refused, in bounded time and memory."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fewshot_audio.data.csv_files import read_rows
from fewshot_audio.data.sources.base import Recording, Source
from fewshot_audio.data.sources.esc50 import Esc50
from fewshot_audio.data.sources.fsdkaggle2018 import PARTS, FsdKaggle2018
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.sources.voxceleb1 import VoxCeleb1
from fewshot_audio.files import write_text
from tests.soak.fuzzing import fuzz
from tests.soak.reliability import record

INPUTS = 10_000
CLIPS = ["class,clip,source,group,segments,seconds\n", 'dog,a,audio/a.wav,g1,2,9.5\n"a ""cat""",b,"x,y.wav",,1,4.0\n']

pytestmark = pytest.mark.soak


def check(valid: Sequence[str], read: Callable[[Path], object], name: str) -> None:
    """Every file is read or refused, and some are read: the damage is not so great that nothing is tested."""
    counts = fuzz([text.encode() for text in valid], read, inputs=INPUTS, name=name)
    assert counts.read + counts.refused == INPUTS
    assert counts.read > 20
    assert counts.refused > 20
    record(f"damaged {name} read", trials=INPUTS, lost=0, wrong=0)


def read_source(source: Source) -> None:
    """Enumerate a source; what it yields can be written into tables, as its preparation does."""
    for item in source.recordings():
        item.source.encode()
        item.class_name.encode()
        (item.clip if isinstance(item, Recording) else item.detail).encode()


def test_clips_csv() -> None:
    def read(path: Path) -> None:
        for row in read_rows(path, ("class", "clip", "group"), ("seconds",)):
            assert list(row) == ["class", "clip", "group", "seconds"]

    text = "".join(CLIPS)
    check([text, text.replace(",", "\t"), "\ufeff" + text, text.replace("\n", "\r\n")], read, "clips.csv")


def test_esc50() -> None:
    def read(path: Path) -> None:
        root = path.parents[1]
        write_text(root / "audio" / "1-100-A-0.wav", "")
        read_source(Esc50(root))

    header = "filename,fold,target,category,esc10,src_file,take\n"
    rows = [f"1-100-{take}-0.wav,1,0,dog,True,100,{take}\n" for take in "ABC"]
    check([header + "".join(rows), header + rows[0], (header + rows[0]).replace(",", "\t")], read, "meta/esc50.csv")


def test_fsdkaggle2018() -> None:
    (train, table), (test, other) = PARTS.items()

    def read(path: Path) -> None:
        root = path.parents[1]
        for part in (train, test):
            write_text(root / part / "0a.wav", "")
        write_text(root / other, "fname,label\n0b.wav,Cello\n")
        read_source(FsdKaggle2018(root))

    header = "fname,label,manually_verified,freesound_id,license\n"
    check([header + "0a.wav,Cello,1,1234,CC0\n" * 2 + "0b.wav,Bark,0,1235,CC0\n", header], read, table)


def test_voxceleb1() -> None:
    def read(path: Path) -> None:
        root = path.parent
        write_text(root / "recordings" / "abcdefgh_01.wav", "")
        write_text(root / "vox1_meta.csv", "VoxCeleb1 ID\tVGGFace1 ID\tGender\nid10001\tAnn_Example\tf\n")
        read_source(VoxCeleb1(root))

    header = "segment,uri,start,end,speaker\n"
    rows = [f"Ann/abcdefgh_01_{n:07d},Ann_Example/abcdefgh_01,{n}.5,{n + 5}.25,Ann_Example\n" for n in range(3)]
    check([header + "".join(rows), header + rows[0]], read, "voxceleb1.csv")


def test_nsynth() -> None:
    def read(path: Path) -> None:
        write_text(path.parent / "audio" / "bass_1-40-100.wav", "")
        read_source(NSynth(path.parents[1]))

    notes = {f"bass_{n}-40-100": {"instrument_str": f"bass_{n}", "pitch": 40, "qualities": [0, 1]} for n in range(4)}
    accented = json.dumps({"b\u00e4ss_1": {"instrument_str": "b\u00e4ss \U0001f3b8"}})
    check([json.dumps(notes), json.dumps(notes, indent=4), accented], read, "nsynth-train/examples.json")
