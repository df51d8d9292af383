"""The table of formats in docs/prepare.md says what decoding does with files of each kind."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.rejection import Rejected
from tests.audio.flavors import CUT_OFF, HOLES, TWICE, UNREADABLE, WHOLE, Flavor

PAGE = Path(__file__).parents[2] / "docs" / "prepare.md"
HEAD = ("format", "flavors that are heard to their end", "cut off", "with a hole")
WORDS = "FEWSHOT_AUDIO_WRITE_DOCS"


def test_the_table_of_formats_is_what_decoding_does(tmp_path: Path) -> None:
    """Set FEWSHOT_AUDIO_WRITE_DOCS=1 to write the table."""
    table = "\n".join(_rows(tmp_path)) + "\n"
    text = PAGE.read_text(encoding="utf-8")
    written = re.search(r"^\| format \|.*?(?=\n\n)", text, re.DOTALL | re.MULTILINE)
    assert written, "docs/prepare.md has no table of formats"
    if os.environ.get(WORDS):
        PAGE.write_text(text.replace(written[0] + "\n", table), encoding="utf-8")
    else:
        assert written[0] + "\n" == table, f"run this test with {WORDS}=1"


def _rows(folder: Path) -> Iterable[str]:
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    extensions = list(dict.fromkeys(Path(flavor.name).suffix for flavor in WHOLE))
    for extension in extensions:
        flavors = [_whole(folder, flavor) for flavor in WHOLE if flavor.name.endswith(extension)]
        cut, hole = (_damage(folder, flavors_of, extension) for flavors_of in ((*CUT_OFF, *UNREADABLE), HOLES))
        yield f"| {extension[1:]} | {', '.join(flavors)} | {cut} | {hole} |"


def _whole(folder: Path, flavor: Flavor) -> str:
    """The flavor's name, if all of it is heard."""
    path = folder / flavor.name
    flavor.make(path)
    samples, damage = decode(path)
    seconds = len(samples) / 16_000 / (2 if flavor.name in TWICE else 1)
    assert abs(seconds - 6) <= flavor.tolerance + 1e-3, flavor.name
    assert not damage, flavor.name
    return Path(flavor.name).stem


def _damage(folder: Path, flavors: Iterable[Flavor], extension: str) -> str:
    """How damage of a format is told."""
    for flavor in flavors:
        if flavor.name.endswith(extension):
            path = folder / flavor.name
            flavor.make(path)
            try:
                damage = decode(path).damage
            except Rejected:
                return "refused"
            return re.sub(r"[\d.]+ of [\d.]+ s", "N of M s", re.sub(r"[\d.]+ s heard, the", "N s heard, the", damage))
    return ""
