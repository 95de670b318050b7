"""The parts of the OCR example that are plain numpy."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "examples" / "ocr_demo.py"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("ocr_demo", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    monkeypatch.setitem(sys.modules, "ocr_demo", module)
    spec.loader.exec_module(module)
    return module


def test_connected_boxes_joins_what_touches(demo: ModuleType):
    rows = (
        "##......##",
        ".##......#",
        "....#.#...",
        "....###..#",
        "..........",
    )
    mask = np.array([[c == "#" for c in row] for row in rows])
    boxes = {(b.left, b.top, b.right, b.bottom) for b in demo.connected_boxes(mask)}
    assert boxes == {(0, 0, 3, 2), (8, 0, 10, 2), (4, 2, 7, 4), (9, 3, 10, 4)}


def test_connected_boxes_of_an_empty_mask_are_none(demo: ModuleType):
    assert list(demo.connected_boxes(np.zeros((3, 4), bool))) == []


def test_decode_ctc_drops_blanks_and_repeats(demo: ModuleType):
    # class 0 is blank: a a - a b b -> "aab"
    classes = [1, 1, 0, 1, 2, 2]
    scores = np.full((6, 3), 0.1, np.float32)
    scores[np.arange(6), classes] = 0.8
    text, confidence = demo.decode_ctc(scores, ["", "a", "b"])
    assert text == "aab"
    assert confidence == pytest.approx(0.8)


def test_decode_ctc_of_blanks_is_empty(demo: ModuleType):
    scores = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    assert demo.decode_ctc(scores, ["", "a"]) == ("", 0.0)


def test_grown_boxes_stay_inside_the_picture(demo: ModuleType):
    grown = demo.Box(2, 3, 8, 9).grown(4.0, width=10, height=20)
    assert grown == demo.Box(0, 0, 10, 13)


def test_drawn_picture_holds_ink(demo: ModuleType):
    picture = demo.draw_picture(("one line",))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.min() < 100 < picture.max()
