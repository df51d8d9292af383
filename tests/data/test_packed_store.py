"""A packed store that cannot be read for want of memory or of open files is not taken for a damaged one."""

import errno
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from tests.tiny import NAME, write_tiny_dataset


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_limits_of_the_process_leave_the_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_tiny_dataset(tmp_path)
    folder = DatasetFolder(tmp_path / NAME)
    SegmentStore.open(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder.path / ".store").rglob("*.npy")}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(np, "memmap", refuse)
        with pytest.raises(OSError, match="refused"):
            SegmentStore.open(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder.path / ".store").rglob("*.npy")} == before
