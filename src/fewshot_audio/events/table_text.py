"""The text of a table that anybody may have written: bounded, and decoded."""

import codecs
import os
from pathlib import Path
from typing import NamedTuple

from fewshot_audio.errors import DataError

MAX_TABLE = 64 << 20  # bytes; half a million events have about 40 MB
MAX_LINE = 100_000  # characters


class TableText(NamedTuple):
    """The text of a table, and whether it is no UTF-8 and was read as a Western European one."""

    text: str
    is_western: bool


def read_text(table: Path) -> TableText:
    """Read a table: UTF-8, UTF-16 with a byte-order mark, else Windows' Western European letters.

    Raises:
        DataError: it cannot be read, is too large, or no text.
    """
    try:
        if table.exists() and not table.is_file():  # opening a named pipe would wait forever
            raise DataError(f"{table}: not a regular file, expected a table of events")
        with table.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_TABLE:
                raise DataError(f"{table}: a table of {size} bytes, expected at most {MAX_TABLE}: refused unread")
            content = stream.read(MAX_TABLE + 1)
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}") from error
    is_western = False
    try:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if is_utf16:
            raise DataError(f"{table} cannot be read: {error}") from error
        text, is_western = content.decode("cp1252", "replace"), True
    if "\0" in text:
        raise DataError(f"{table}: has NUL characters, as no table has; expected text in UTF-8 or UTF-16")
    if any(len(line) > MAX_LINE for line in text.split("\n")):
        raise DataError(f"{table}: has a line of more than {MAX_LINE} characters, as no table of events has")
    return TableText(text, is_western)
