"""Uploads that cannot be used: what was decoded of them is not kept."""

import asyncio
import gc
import io
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fastapi import UploadFile

from fewshot_audio.audio.decode import Decoded
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.uploads import UploadReader


@dataclass
class FakeDecoder:
    """Decodes silence, or refuses when it has decoded it."""

    refuses: bool
    decoded: list["weakref.ref[Any]"] = field(default_factory=list)

    def decode(self, data: bytes, name: str) -> Decoded:
        samples = np.zeros(16_000, np.float32)
        self.decoded.append(weakref.ref(samples))
        if self.refuses:
            raise Rejected(Reason.TOO_LONG, "more than 1 s")
        return Decoded(samples, "")

    def close(self) -> None:
        pass


@pytest.fixture
def _without_the_collector_of_cycles() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_the_collector_of_cycles")
@pytest.mark.parametrize(("refuses", "reason"), [(True, Reason.TOO_LONG), (False, Reason.SILENT)])
def test_the_samples_of_a_rejected_upload_are_freed_at_once(refuses: bool, reason: Reason) -> None:
    decoder = FakeDecoder(refuses)
    reader = UploadReader(Preprocessing(), ServerLimits(), decoder)  # type: ignore[arg-type]
    try:
        uploads = asyncio.run(reader.read([UploadFile(io.BytesIO(b"sound"), filename="a.wav")]))
    finally:
        reader.close()
    assert [rejected.reason for rejected in uploads.rejected] == [reason]
    assert [samples() is None for samples in decoder.decoded] == [True]
