"""What an index says of itself: the network and the encoders that embedded it, and how recordings were cut."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.timbre import TIMBRE_WIDTH
from fewshot_audio.config import parse_json
from fewshot_audio.config.base import Section
from fewshot_audio.config.frozen import MOST_ENCODERS
from fewshot_audio.config.validation import validate
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.models.frozen.description import MAX_WIDTH, Digest, EncoderName
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.recognizer import Recognizer

INDEX_FILE = "index.json"
FORMAT = 1
LARGEST_JSON = 1 << 16  # bytes
MOST_ROWS = 1024  # of the network, for a segment


class IndexedEncoder(Section):
    """A frozen encoder whose rows an index holds."""

    digest: Digest
    """What identifies it."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    """Numbers of a row."""


class IndexDescription(Section):
    """The description of an index, ``index.json``."""

    kind: Literal["fewshot-audio index"] = "fewshot-audio index"
    format: Literal[1] = 1
    network: Digest
    """Stands for the network, its frozen views and its preprocessing."""
    preprocessing: Preprocessing
    """How recordings become windows, each a segment long."""
    hop: Annotated[int, Field(ge=1)]
    """Samples from the start of a window to that of the next, at the rate at which recordings are read."""
    rows: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    """Rows of the network for a segment."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    """Numbers of a row of the network."""
    timbre: Literal[240] = TIMBRE_WIDTH  # type: ignore[assignment]
    """Numbers that describe a segment's timbre."""
    encoders: Annotated[dict[EncoderName, IndexedEncoder], Field(max_length=MOST_ENCODERS)] = Field(
        default_factory=dict
    )
    """The frozen encoders, by name."""

    @property
    def blocks(self) -> dict[str, int]:
        """Numbers of a window by the block that they belong to, as decisions call it."""
        encoders = {encoder_block(name): encoder.width for name, encoder in self.encoders.items()}
        return {"embedding": self.rows * self.width, "timbre": self.timbre, **encoders}

    @property
    def digest(self) -> str:
        """Stands for all that determines the content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def rate(self) -> int:
        """Rate of samples in lengths and hops, Hz."""
        return self.preprocessing.recording_rate

    @property
    def window(self) -> int:
        """Samples of a window."""
        return self.preprocessing.segment_samples

    def check_recognizer(self, recognizer: Recognizer, folder: Path, encoders: Mapping[str, str] | None = None) -> None:
        """Check that a recognizer's network has made the embeddings of an index.

        Args:
            recognizer: the recognizer.
            folder: the index, for the message.
            encoders: digests by name of the frozen encoders whose rows are needed too.

        Raises:
            DataError: it has not, or the index lacks an encoder.
        """
        if network_digest(recognizer) != self.network:
            raise DataError(
                f"{folder}: its embeddings are those of another network than the recognizer's: make an index by "
                "`fewshot-audio index ARCHIVE -o INDEX --bundle BUNDLE`"
            )
        for name, digest in (encoders or {}).items():
            indexed = self.encoders.get(name)
            if indexed is None or indexed.digest != digest:
                lacks = "has no rows of" if indexed is None else "has rows of another version of"
                raise DataError(
                    f"{folder}: {lacks} the encoder {name}, which counts in the recognizer's decision: make an index "
                    "with --bundle BUNDLE"
                )


def describe(recognizer: Recognizer, hop: int, widths: Mapping[str, int], rows: int, width: int) -> IndexDescription:
    """Describe the index that a recognizer makes.

    Args:
        recognizer: its network and encoders embed windows.
        hop: samples from a window to the next.
        widths: of its frozen encoders, by name.
        rows: of its network, for a segment.
        width: of those.
    """
    digests = recognizer.encoders.digests
    encoders = {name: IndexedEncoder(digest=digests[name], width=widths[name]) for name in digests}
    return IndexDescription(
        network=network_digest(recognizer),
        preprocessing=recognizer.preprocessing,
        hop=hop,
        rows=rows,
        width=width,
        encoders=encoders,
    )


def network_digest(recognizer: Recognizer) -> str:
    """SHA-256 of all that determines a recognizer's embeddings, apart from what computes them."""
    saved = recognizer.embedder.saved()
    values = {
        "tensors": _tensors_digest(saved.content),
        "views": saved.view_numbers,
        "experiment": recognizer.experiment.model_dump(mode="json"),
        "model": recognizer.model.model_dump(mode="json"),
        "preprocessing": recognizer.preprocessing.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _tensors_digest(content: bytes) -> str:
    """SHA-256 of the tensors in a safetensors file, in whichever order it holds them."""
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    data = memoryview(content)[8 + length :]
    digest = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        entry = header[name]
        start, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        digest.update(data[start:end])
    return digest.hexdigest()


def read_index_description(folder: Path) -> IndexDescription:
    """Read and check ``index.json``, which anybody may have written.

    Raises:
        DataError: it is missing, damaged, of a later version, or no description of an index.
    """
    path = folder / INDEX_FILE
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_JSON + 1)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{folder}: not an index ({INDEX_FILE} cannot be read: {reason})") from error
    if len(content) > LARGEST_JSON:
        raise DataError(f"{path}: more than {LARGEST_JSON} bytes")
    try:
        values = parse_json(content, str(path))
        number = values.get("format")
        if type(number) is int and number > FORMAT:
            raise DataError(f"{path}: format {number}, but this version of fewshot-audio reads up to {FORMAT}: upgrade")
        description = validate(IndexDescription, values, str(path))
    except (ConfigError, ValidationError, RecursionError) as error:
        raise DataError(str(error)) from error
    if description.hop > description.window:
        raise DataError(f"{path}: hop is {description.hop}, expected at most a window of {description.window} samples")
    return description
