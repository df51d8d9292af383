"""Labels and files of figures: every name is shown letter by letter, in any script."""

import io
import re
import warnings
from unicodedata import normalize
from xml.etree import ElementTree

import pytest

from fewshot_audio.runtime.figures import LONGEST_LABEL, new_figure, plot_label, plot_labels, write_figure

LONG = "Long-billed curlew, a name that goes on and on, recorded in winter by the river "
NAMES = (
    "_background_noise_",
    "coin $x_$",
    r"$\frac{",
    r"a\$b\\$",
    "白头鹎",
    "طائر صغير",
    "نیم\u200cفاصله",  # noqa: RUF001 - Persian
    "🐦 👩\u200d🚀",
    "<b>&amp;",
)


def svg_texts(names: tuple[str, ...] | list[str]) -> list[str]:
    """The texts of an SVG with the names in a legend, as ticks and as title."""
    figure = new_figure(8, 6)
    axes = figure.add_subplot()
    labels = plot_labels(names)
    for label in labels:
        axes.plot([0, 1], label=label)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_title(plot_label(names[0]))
    axes.legend()
    file = io.BytesIO()
    write_figure(figure, file, "svg")
    texts = ElementTree.fromstring(file.getvalue()).iter("{http://www.w3.org/2000/svg}text")
    return [(text.text or "").strip() for text in texts]


def test_names_are_text_in_svg_and_none_vanishes_from_a_legend() -> None:
    texts = svg_texts(NAMES)
    assert [texts.count(name) for name in NAMES] == [3] + [2] * (len(NAMES) - 1)


@pytest.mark.parametrize(
    ("name", "label"),
    [("a\nb\tc", r"a\nb\tc"), ("x\u202fy", r"x\u202fy"), ("caf\udce9", r"caf\xe9"), ("a\x00\ufffe", r"a\x00\ufffe")],
    ids=["lines", "space", "bytes", "no XML"],
)
def test_what_cannot_be_shown_is_escaped(name: str, label: str) -> None:
    assert svg_texts([name]).count(label) == 3


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_glyph_that_is_missing_is_no_warning(kind: str) -> None:
    figure = new_figure(4, 3)
    figure.add_subplot().set_title(plot_label("白头鹎 🐦 طائر \ue000"))
    file = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_figure(figure, file, kind)
    assert file.getvalue()
    assert not caught


def test_a_missing_glyph_leaves_a_mark_in_a_png() -> None:
    def drawn(title: str) -> bytes:
        figure = new_figure(4, 3)
        figure.text(0.5, 0.5, plot_label(title))
        file = io.BytesIO()
        write_figure(figure, file, "png")
        return file.getvalue()

    assert drawn("白") != drawn("")


def test_the_middle_of_a_long_name_is_left_out() -> None:
    first, second = plot_labels([LONG + "1", LONG + "2"])
    assert first != second
    assert re.fullmatch(r"Long-billed curl….*river 1", first)
    assert len(first) <= LONGEST_LABEL
    assert plot_label("x" * LONGEST_LABEL) == "x" * LONGEST_LABEL
    assert plot_label("x" * (LONGEST_LABEL + 1)) == "x" * 16 + "…" + "x" * 15
    assert plot_label("鳥" * 40) == "鳥" * 8 + "…" + "鳥" * 7


def test_accents_stay_with_their_letters() -> None:
    name = normalize("NFD", "é" * 40)
    assert normalize("NFC", plot_label(name)) == "é" * 16 + "…" + "é" * 15
    assert plot_label("x" * 40 + "e\u0301" + "x" * 15).endswith("…" + "x" * 15)


def test_names_that_become_equal_are_numbered() -> None:
    names = [f"{LONG}{number}{LONG}" for number in range(2)]
    first, second = plot_labels([*names, "other"])[:2]
    assert (first[-4:], second[-4:]) == (" (1)", " (2)")
    assert first[:-4] == second[:-4] == plot_label(names[0])


def test_equal_figures_give_equal_text() -> None:
    assert b"<dc:date>" not in _title("svg")


def _title(kind: str) -> bytes:
    figure = new_figure(2, 2)
    figure.suptitle("x")
    file = io.BytesIO()
    write_figure(figure, file, kind)
    return file.getvalue()
