"""Rows of tables, as Raven, Audacity, DCASE and people write them."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.errors import DataError
from fewshot_audio.events import rows as rows_module
from fewshot_audio.events import table_text
from fewshot_audio.events.columns import number
from fewshot_audio.events.rows import EventRow, EventRows
from fewshot_audio.events.tables import read_rows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "annotations"
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.txt"


def read(table: Path, text: str, encoding: str = "utf-8") -> EventRows:
    table.write_bytes(text.encode(encoding))
    return read_rows(table)


def times(rows: EventRows) -> list[tuple[float, float, str]]:
    return [(row.start, row.end, row.label) for row in rows.rows]


def test_a_selection_table_of_raven(table: Path) -> None:
    rows = read(table, RAVEN + "1\tSpectrogram 1\t2\t1.5\t2.25\t100.0\t2000.5\twren\n")
    assert rows.rows == [EventRow(2, 1.5, 2.25, "wren", (), 100.0, 2000.5, "POS", 2, None)]
    assert rows.problems == ()
    assert rows.remarks == []


def test_columns_of_raven_in_any_order_with_decimal_commas(table: Path) -> None:
    header = "Annotation\tEnd Time (s)\tHigh Freq (Hz)\tBegin Time (s)\tLow Freq (Hz)\tSelection\tView\n"
    rows = read(table, header + "wren\t2,25\t2000,5\t1,5\t100\t1\tSpectrogram 1\n", "utf-16")
    assert rows.rows == [EventRow(2, 1.5, 2.25, "wren", (), 100.0, 2000.5)]


@pytest.mark.parametrize("views", [("Waveform 1", "Spectrogram 1"), ("Spectrogram 1", "Waveform 1")])
def test_a_selection_with_a_row_for_each_view_is_one_event(table: Path, views: tuple[str, str]) -> None:
    boxes = {"Waveform 1": "\t", "Spectrogram 1": "100\t200"}
    lines = [f"{n}\t{view}\t1\t{n}.0\t{n}.5\t{boxes[view]}\twren\n" for n in (1, 2) for view in views]
    rows = read(table, RAVEN + "".join(lines))
    assert times(rows) == [(1.0, 1.5, "wren"), (2.0, 2.5, "wren")]
    assert [(row.low_hz, row.high_hz) for row in rows.rows] == [(100.0, 200.0)] * 2


def test_selections_of_the_same_number_at_other_times_are_two_events(table: Path) -> None:
    rows = read(table, RAVEN + "1\tSpectrogram 1\t1\t1\t2\t1\t2\ta\n1\tSpectrogram 1\t1\t3\t4\t1\t2\ta\n")
    assert times(rows) == [(1.0, 2.0, "a"), (3.0, 4.0, "a")]


def test_times_of_several_recordings_count_from_the_start_of_each(table: Path) -> None:
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin File\tBegin Path\tFile Offset (s)\tLabel\n"
    line = "1\tSpectrogram 1\t1\t71.5\t72.0\tb.wav\tC:\\field\\b.wav\t11.5\twren\n"
    rows = read(table, header + line)
    assert rows.rows == [EventRow(2, 11.5, 12.0, "wren", ("C:\\field\\b.wav", "b.wav"), channel=1)]
    assert rows.remarks == []


def test_several_recordings_without_offsets_are_remarked(table: Path) -> None:
    header = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tLabel\n"
    rows = read(table, header + "1\tSpectrogram 1\t1\t2\ta.wav\tx\n2\tSpectrogram 1\t3\t4\tb.wav\tx\n")
    assert times(rows) == [(1.0, 2.0, "x"), (3.0, 4.0, "x")]
    assert "File Offset" in rows.remarks[0]


def test_a_selection_table_without_header(table: Path) -> None:
    rows = read(table, "1\tSpectrogram 1\t1\t1.5\t2.5\t100\t2000\twren\n2\tSpectrogram 1\t1\t3\t4\t100\t2000\ttit\n")
    assert rows.rows[0] == EventRow(1, 1.5, 2.5, "wren", (), 100.0, 2000.0, channel=1)
    assert times(rows) == [(1.5, 2.5, "wren"), (3.0, 4.0, "tit")]


def test_labels_of_audacity_with_frequencies(table: Path) -> None:
    rows = read(table, "0.500000\t1.250000\ttawny owl\r\n\\\t400.000000\t900.5\r\n2\t3\towl\n\\\t-1.0\t-1.0\n")
    assert rows.rows == [EventRow(1, 0.5, 1.25, "tawny owl", (), 400.0, 900.5), EventRow(3, 2.0, 3.0, "owl")]


def test_points_and_unlabeled_stretches_of_audacity_are_named(table: Path) -> None:
    rows = read(table, "1\t1\towl\n2\t3\t\n4\t5\towl\n")
    assert times(rows) == [(4.0, 5.0, "owl")]
    assert rows.problems == (
        f"{table}, line 1: a point at 1 s, expected an event with a start and an end",
        f"{table}, line 2: no label",
    )


def test_a_score_at_the_end_of_a_label_of_audacity_is_read(table: Path) -> None:
    rows = read(table, "1\t2\twood pigeon 0.93\n3\t4\tversion 2\n")
    assert [(row.label, row.score) for row in rows.rows] == [("wood pigeon", 0.93), ("version 2", None)]
    assert "0.93" in rows.remarks[0]


@pytest.mark.parametrize(
    "text",
    [
        "file,start,end,label\na.wav,1.5,2.5,wren\n",
        "\ufefffile;start;end;label\r\na.wav;1,5;2,5;wren\r\n",
        "filename\tonset\toffset\tspecies\na.wav\t1.5\t2.5\twren\n",
        'Class,End_Time,Start Time,File Name\nwren,"2,5","1,5",a.wav\n',
        "path,start_ms,duration_ms,Label\na.wav,1500,1000,wren\n",
        "sep=;\nrecording;begin (s);duration (s);Call Type\na.wav;1.5;1;wren\n",
        "\n\na.wav,1.5,2.5,wren\n",
        "audio_file|start|end|tag\na.wav|0:01.5|00:00:02,5|wren\n",
    ],
)
def test_usual_spellings_of_csv(table: Path, text: str) -> None:
    (row,) = read(table, text).rows
    assert (row.start, row.end, row.label, row.files) == (1.5, 2.5, "wren", ("a.wav",))


def test_text_of_windows_is_read_and_remarked(table: Path) -> None:
    rows = read(table, "file,start,end,label\na.wav,1,2,Grünfink\n", "latin-1")
    assert times(rows) == [(1.0, 2.0, "Grünfink")]
    assert "Western European" in rows.remarks[0]


def test_a_column_of_labels_by_name(table: Path) -> None:
    table.write_text("file,start,end,label,who\na.wav,1,2,bird,wren\n")
    assert times(read_rows(table)) == [(1.0, 2.0, "bird")]
    assert times(read_rows(table, label_column="who")) == [(1.0, 2.0, "wren")]
    with pytest.raises(DataError, match=r"column 'whom' is missing.*'who'"):
        read_rows(table, label_column="whom")


def test_a_table_of_dcase_marks_what_is_unsure(table: Path) -> None:
    rows = read(table, "Audiofilename,Starttime,Endtime,Q\na.wav,1,2,POS\na.wav,3,4,unk\na.wav,5,6,NEG\na.wav,7,8,x\n")
    assert [(row.start, row.quality, row.label) for row in rows.rows] == [
        (1.0, "POS", "event"),
        (3.0, "UNK", "event"),
        (5.0, "NEG", "event"),
    ]
    assert rows.problems == (f"{table}, line 5: Q is 'X', expected POS, NEG, UNK",)


def test_a_table_of_dcase_with_a_column_for_each_class(table: Path) -> None:
    rows = read(table, "Audiofilename,Starttime,Endtime,wren,tit\na.wav,1,2,POS,NEG\na.wav,3,4,UNK,POS\n")
    assert [(row.start, row.label, row.quality) for row in rows.rows] == [
        (1.0, "wren", "POS"),
        (1.0, "tit", "NEG"),
        (3.0, "wren", "UNK"),
        (3.0, "tit", "POS"),
    ]


def test_rows_that_are_no_events_are_named_and_the_rest_goes_on(table: Path) -> None:
    lines = ["1,2,a", "2,1,a", "nan,2,a", "1,1e999,a", ",2,a", "1,,a", "-1,2,a", "1,2,", "x,2,a", "", "5,6,a"]
    rows = read(table, "start,end,label\n" + "\n".join(lines) + "\n")
    assert times(rows) == [(1.0, 2.0, "a"), (5.0, 6.0, "a")]
    assert [problem.removeprefix(f"{table}, line ") for problem in rows.problems] == [
        "3: ends at 1 s, before its start at 2 s",
        "4: start is 'nan', expected a number",
        "5: end is '1e999', expected a number",
        "6: no start",
        "7: no end",
        "8: starts at -1 s, before the recording does",
        "9: no label",
        "10: start is 'x', expected a number",
    ]


def test_a_recording_without_events_is_no_problem(table: Path) -> None:
    rows = read(table, "file,start,end,label,score,status\na.wav,,,,,nothing\nb.wav,1,2,x,0.5,ok\n")
    assert [(row.files, row.score) for row in rows.rows] == [(("b.wav",), 0.5)]
    assert rows.problems == ()


@pytest.mark.parametrize("text", ["", "\n \n", "hello\n", "a,b\n1,2\n", "label,start\nx,1\n", "a\0b\t1\n"])
def test_what_is_no_table_of_events_is_refused(table: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"table\.txt"):
        read(table, text)


def test_a_folder_and_a_missing_table_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(DataError, match=str(path)):
            read_rows(path)


def test_the_size_of_tables_is_bounded(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "start,end,label\n" + "1,2,x\n" * 5
    monkeypatch.setattr(rows_module, "MAX_EVENTS", 4)
    with pytest.raises(DataError, match="more than 4 events"):
        read(table, text)
    monkeypatch.setattr(table_text, "MAX_LINE", 10)
    with pytest.raises(DataError, match="line of more than 10 characters"):
        read(table, text)
    monkeypatch.setattr(table_text, "MAX_TABLE", 10)
    with pytest.raises(DataError, match="refused unread"):
        read(table, text)


def test_a_forced_format_decides(table: Path) -> None:
    table.write_text("1\t2\t3\t4\n")
    assert [row.label for row in read_rows(table, "audacity").rows] == ["3\t4"]
    with pytest.raises(DataError, match="no table of events"):
        read_rows(table, "raven")


def test_names_of_strangers_are_shown_on_one_line(table: Path) -> None:
    rows = read(table, 'start,end,label\n"1\x1b[31m\n",2,a\n')
    assert "\x1b" not in rows.problems[0]


@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.floats(1e-3, 100), st.text("abcäß ,;\"'", min_size=1).filter(str.strip)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(",;\t"),
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_what_a_spreadsheet_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[float, float, str]], delimiter: str, comma: bool
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(["label", "start", "end"])
    for start, length, label in events:
        cells = [repr(start), repr(start + length)]
        writer.writerow([label, *(cell.replace(".", ",") if comma else cell for cell in cells)])
    table = tmp_path_factory.mktemp("tables") / "t.csv"
    table.write_bytes(stream.getvalue().encode())
    expected = [(start, start + length, label.strip()) for start, length, label in events]
    assert times(read_rows(table)) == expected


@pytest.mark.parametrize("name", ["raven", "audacity"])
def test_tables_are_read_as_crowsetta_reads_them(name: str) -> None:
    expected = json.loads((FIXTURES / "crowsetta.json").read_text(encoding="utf-8"))[name]
    rows = read_rows(FIXTURES / f"{name}.txt").rows
    assert [[row.start, row.end, row.low_hz, row.high_hz, row.label] for row in rows] == expected
    assert len(rows) == 12


@pytest.mark.parametrize(("cell", "value"), [("1", 1), ("1.5", 1.5), ("1,5", 1.5), ("1:02.5", 62.5), ("1:00:01", 3601)])
def test_numbers(cell: str, value: float) -> None:
    assert number(cell, "start") == value


@pytest.mark.parametrize("cell", ["", "inf", "nan", "1_0", "1.2.3", "0x1", "1 2", "\u0661", "--1"])
def test_no_numbers(cell: str) -> None:
    with pytest.raises(ValueError, match="start is"):
        number(cell, "start")
