"""``python -m fewshot_audio.cli.ship``: the options of the command; what it writes is tested with the recognizers."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.cli import ship
from fewshot_audio.cli.options import DATA_ROOT


@pytest.mark.parametrize("spelling", ["--license", "--licence"])
def test_the_license_is_read_in_both_spellings(
    spelling: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def record(*arguments: Any, progress: Any) -> Path:
        calls.append(arguments)
        return Path("shipped")

    monkeypatch.setattr(ship, "ship", record)
    monkeypatch.setattr(sys, "argv", ["ship", "experiments/a", "name", spelling, "CC BY"])
    ship.main()
    assert calls == [(Path("experiments/a"), "name", DATA_ROOT, "CC BY")]
    assert "shipped" in capsys.readouterr().out


def test_an_error_has_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ship, "HOME", tmp_path)
    monkeypatch.setattr(sys, "argv", ["ship", str(tmp_path / "absent"), "name", "--license", "CC BY"])
    with pytest.raises(SystemExit, match="1"):
        ship.main()
    assert capsys.readouterr().err == f"error: {tmp_path / 'absent' / 'run-1'}: not a run folder (it has no run.json)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_license_must_be_given_and_help_shows_one_spelling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ship", "experiments/a", "name"])
    with pytest.raises(SystemExit, match="2"):
        ship.main()
    assert "--license is required" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["ship", "--help"])
    with pytest.raises(SystemExit, match="0"):
        ship.main()
    out = capsys.readouterr().out
    assert "--license" in out
    assert "--licence" not in out
