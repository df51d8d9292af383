"""Detections as text, and read again."""

from pathlib import Path

import pytest

from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.tables import read_rows
from fewshot_audio.events.write import DETECTION_FORMATS, FileDetections

WREN = Detection(1.23456, 2.5, "wren", 0.91234, 1000.0, 4000.0)
TIT = Detection(3.0, 3.5, "great tit", 0.5)
RESULT = FileDetections("field/a.wav", 10.0, (WREN, TIT), rate=16_000)


def test_csv() -> None:
    assert DETECTION_FORMATS["csv"]().text([RESULT, FileDetections("b.wav")]) == (
        "file,start,end,label,score,low_hz,high_hz,version\n"
        "field/a.wav,1.2346,2.5,wren,0.9123,1000.0,4000.0,1\n"
        "field/a.wav,3.0,3.5,great tit,0.5,,,1\n"
    )


def test_raven() -> None:
    assert DETECTION_FORMATS["raven"]().text([RESULT]) == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tLabel\tScore\n"
        "1\tSpectrogram 1\t1\t1.235\t2.500\t1000\t4000\twren\t0.9123\n"
        "2\tSpectrogram 1\t1\t3.000\t3.500\t0\t8000\tgreat tit\t0.5000\n"
    )


def test_audacity() -> None:
    assert DETECTION_FORMATS["audacity"]().text([RESULT]) == (
        "1.234560\t2.500000\twren 0.91\n\\\t1000.000000\t4000.000000\n3.000000\t3.500000\tgreat tit 0.50\n"
    )


def test_dcase() -> None:
    text = DETECTION_FORMATS["dcase"]().text([RESULT])
    assert text == ("Audiofilename,Starttime,Endtime,wren,great tit\na.wav,1.2346,2.5,POS,NEG\na.wav,3.0,3.5,NEG,POS\n")
    without_labels = FileDetections("a.wav", 10.0, (Detection(1, 2, "event", 0.5),))
    assert DETECTION_FORMATS["dcase"]().text([without_labels]) == "Audiofilename,Starttime,Endtime,Q\na.wav,1,2,POS\n"


@pytest.mark.parametrize("name", DETECTION_FORMATS)
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    table = tmp_path / "a.txt"
    table.write_text(DETECTION_FORMATS[name]().text([RESULT]))
    rows = read_rows(table)
    positive = [row for row in rows.rows if row.quality == "POS"]
    assert [row.start for row in positive] == pytest.approx([1.23456, 3], abs=1e-3)
    assert [(row.end, row.label) for row in positive] == [(2.5, "wren"), (3.5, "great tit")]
    assert rows.problems == ()
    if name != "dcase":
        assert [round(row.score or 0, 2) for row in positive] == [0.91, 0.5]
        assert (positive[0].low_hz, positive[0].high_hz) == (1000, 4000)


@pytest.mark.parametrize(
    ("result", "status", "remark"),
    [
        (RESULT, "ok", ""),
        (
            FileDetections("a.wav", 1.0, damage="damaged: 1 of 2 s heard"),
            "nothing",
            "nothing detected; damaged: 1 of 2 s heard",
        ),
        (FileDetections("a.wav", error="missing"), "error", "missing"),
    ],
)
def test_the_status_of_a_recording(result: FileDetections, status: str, remark: str) -> None:
    assert (result.status, result.remark) == (status, remark)
