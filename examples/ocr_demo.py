"""
Read the text in a picture with PP-OCRv4: through nnc, and ONNX Runtime beside it.

    python examples/ocr_demo.py [PICTURE]

Three networks share the work: a detector finds lines of text, a classifier says which
of them stand on their head, a recogniser reads them. Everything between the networks
is numpy and is the same code for both engines: see `OcrPipeline`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

import nnc

Picture: TypeAlias = NDArray[np.uint8]
"""Height × width × 3, red first."""
Floats: TypeAlias = NDArray[np.float32]
Network: TypeAlias = Callable[[Floats], Floats]

LINES = (
    "Hello nnc",
    "Deep learning on a CPU",
    "compiled by xDSL and LLVM",
    "2 + 2 = 4, 100% Python",
)
MODELS = Path("rapidocr_onnxruntime") / "models"
DETECTOR = MODELS / "ch_PP-OCRv4_det_infer.onnx"
CLASSIFIER = MODELS / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
RECOGNISER = MODELS / "ch_PP-OCRv4_rec_infer.onnx"


# ---------------------------------------------------------------- engines


class Engine(Protocol):
    """Turns a model file into a function from one array to one array."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    def load(self, path: Path) -> Network:
        """Make the network ready to run."""
        ...


@dataclass(frozen=True)
class NncEngine:
    """nnc: the model is compiled to machine code."""

    threads: int
    name: str = "nnc"

    def load(self, path: Path) -> Network:
        """Compile a model."""
        return nnc.compile(path, num_threads=self.threads)


@dataclass(frozen=True)
class OnnxRuntimeEngine:
    """ONNX Runtime: the model is interpreted with hand-written kernels."""

    threads: int
    name: str = "ONNX Runtime"

    def load(self, path: Path) -> Network:
        """Open a session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        (input_,) = session.get_inputs()

        def run(array: Floats) -> Floats:
            (output,) = session.run(None, {input_.name: array})
            return np.asarray(output, np.float32)

        return run


# ---------------------------------------------------------------- picture handling


@dataclass(frozen=True)
class Box:
    """An upright rectangle of pixels; right and bottom are not part of it."""

    left: int
    top: int
    right: int
    bottom: int

    def grown(self, margin: float, width: int, height: int) -> Box:
        """The box with a margin around it, cut at the border of the picture."""
        return Box(
            max(0, round(self.left - margin)),
            max(0, round(self.top - margin)),
            min(width, round(self.right + margin)),
            min(height, round(self.bottom + margin)),
        )


def draw_picture(lines: tuple[str, ...] = LINES) -> Picture:
    """A page with these lines of text on it."""
    size, margin = 34, 28
    page = Image.new("RGB", (640, margin * 2 + len(lines) * size * 2), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size)
    for row, line in enumerate(lines):
        draw.text((margin, margin + row * size * 2), line, font=font, fill=(20, 20, 90))
    return np.asarray(page)


def resize(picture: Picture, width: int, height: int) -> Picture:
    """The picture scaled to another size."""
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def to_network(picture: Picture, mean: Floats, deviation: Floats) -> Floats:
    """One picture as a batch: channels first, blue first, normalised."""
    scaled = picture[:, :, ::-1].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - mean) / deviation).transpose(2, 0, 1))[None]


def connected_boxes(mask: NDArray[np.bool_]) -> Iterator[Box]:
    """The bounding boxes of the connected regions of a mask."""
    parent: list[int] = []
    boxes: list[list[int]] = []

    def root(region: int) -> int:
        while parent[region] != region:
            region = parent[region]
        return region

    above: list[tuple[int, int, int]] = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0))
        runs: list[tuple[int, int, int]] = []
        for start, end in edges.reshape(-1, 2).tolist():
            region = len(parent)
            parent.append(region)
            boxes.append([start, y, end, y + 1])
            for other_start, other_end, other in above:
                if other_start <= end and start <= other_end:
                    parent[root(other)] = root(region)
            runs.append((start, end, region))
        above = runs
    merged: dict[int, list[int]] = {}
    for region, (left, top, right, bottom) in enumerate(boxes):
        box = merged.setdefault(root(region), [left, top, right, bottom])
        box[:] = (
            min(box[0], left),
            min(box[1], top),
            max(box[2], right),
            max(box[3], bottom),
        )
    return (Box(*box) for box in merged.values())


# ---------------------------------------------------------------- the pipeline


@dataclass(frozen=True)
class TextLine:
    """A line of text, where it stands and how sure the recogniser is of it."""

    box: Box
    text: str
    confidence: float


@dataclass
class Stopwatch:
    """Seconds spent under each name."""

    seconds: dict[str, float] = field(
        default_factory=lambda: {"detect": 0.0, "classify": 0.0, "recognise": 0.0}
    )

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Add the time of a block to `name`."""
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        self.seconds[name] += took


class OcrPipeline:
    """PP-OCRv4 over any engine."""

    def __init__(self, engine: Engine, models: Path) -> None:
        """Load the three networks of `models`."""
        start = time.perf_counter()
        self.detector = engine.load(models / DETECTOR)
        self.classifier = engine.load(models / CLASSIFIER)
        self.recogniser = engine.load(models / RECOGNISER)
        self.load_seconds = time.perf_counter() - start
        self.characters = read_characters(models / RECOGNISER)

    def read(self, picture: Picture) -> tuple[list[TextLine], Stopwatch]:
        """The lines of text in a picture, from top to bottom."""
        watch = Stopwatch()
        with watch.measure("detect"):
            boxes = self._find(picture)
        lines: list[TextLine] = []
        for box in boxes:
            crop = picture[box.top : box.bottom, box.left : box.right]
            with watch.measure("classify"):
                crop = self._upright(crop)
            with watch.measure("recognise"):
                text, confidence = self._recognise(crop)
            if confidence > 0.5:
                lines.append(TextLine(box, text, confidence))
        return lines, watch

    def _find(self, picture: Picture) -> list[Box]:
        """Boxes around lines of text: where the detector's map is above a threshold."""
        height, width = picture.shape[:2]
        scale = max(1.0, 736 / min(height, width)) if max(height, width) < 960 else 1.0
        scale = min(scale, 1280 / max(height, width))
        # The detector halves the picture five times.
        net_width, net_height = (
            max(32, round(side * scale / 32) * 32) for side in (width, height)
        )
        mean = np.array([0.485, 0.456, 0.406], np.float32)
        deviation = np.array([0.229, 0.224, 0.225], np.float32)
        batch = to_network(resize(picture, net_width, net_height), mean, deviation)
        probability = self.detector(batch)[0, 0]
        found: list[Box] = []
        for box in connected_boxes(probability > 0.3):
            wide, high = box.right - box.left, box.bottom - box.top
            inside = probability[box.top : box.bottom, box.left : box.right]
            if min(wide, high) < 4 or inside.mean() < 0.5:
                continue
            # The detector marks the core of a line: grow it back to the letters.
            margin = 1.6 * wide * high / (2 * (wide + high))
            grown = box.grown(margin, net_width, net_height)
            found.append(
                Box(
                    grown.left * width // net_width,
                    grown.top * height // net_height,
                    -(-grown.right * width // net_width),
                    -(-grown.bottom * height // net_height),
                )
            )
        return sorted(found, key=lambda box: (box.top, box.left))

    def _upright(self, crop: Picture) -> Picture:
        """The crop, turned by 180 degrees if the classifier is sure that it must be."""
        batch = _line_batch(crop, 48, min_width=192, max_width=192)
        upside_down = float(self.classifier(batch)[0, 1])
        return np.ascontiguousarray(crop[::-1, ::-1]) if upside_down > 0.9 else crop

    def _recognise(self, crop: Picture) -> tuple[str, float]:
        """The text of one line, and the mean probability of its characters."""
        scores = self.recogniser(_line_batch(crop, 48, min_width=48, max_width=2048))[0]
        return decode_ctc(scores, self.characters)


def _line_batch(crop: Picture, height: int, min_width: int, max_width: int) -> Floats:
    """A line of text at the height that a network reads, padded to `min_width`."""
    width = round(crop.shape[1] * height / crop.shape[0])
    width = max(8, min(width, max_width))
    half = np.full(3, 0.5, np.float32)
    batch = to_network(resize(crop, width, height), half, half)
    missing = max(0, min_width - width)
    return np.pad(batch, ((0, 0), (0, 0), (0, 0), (0, missing)))


def decode_ctc(scores: Floats, characters: list[str]) -> tuple[str, float]:
    """The text of step × character scores: repeats merged, blanks (row 0) dropped."""
    best = scores.argmax(axis=1)
    fresh = (best != 0) & (best != np.concatenate(([0], best[:-1])))
    if not fresh.any():
        return "", 0.0
    text = "".join(characters[i] for i in best[fresh])
    return text, float(scores.max(axis=1)[fresh].mean())


def read_characters(recogniser: Path) -> list[str]:
    """The character of each class: the model's metadata holds the list."""
    metadata = onnx.load(recogniser, load_external_data=False).metadata_props
    (characters,) = (m.value for m in metadata if m.key == "character")
    return ["", *characters.splitlines(), " "]


# ---------------------------------------------------------------- the program


@dataclass(frozen=True)
class Reading:
    """What one engine read, and how long it took."""

    engine: str
    lines: list[TextLine]
    load_seconds: float
    seconds: dict[str, float]


def read_with(engine: Engine, models: Path, picture: Picture, runs: int) -> Reading:
    """Load the networks, read once to warm up, then take medians over `runs`."""
    pipeline = OcrPipeline(engine, models)
    lines, _ = pipeline.read(picture)
    watches = [pipeline.read(picture)[1] for _ in range(runs)]
    seconds = {
        name: statistics.median(w.seconds[name] for w in watches)
        for name in watches[0].seconds
    }
    return Reading(engine.name, lines, pipeline.load_seconds, seconds)


def show(readings: list[Reading], console: Console) -> None:
    """Print texts and times side by side."""
    table = Table(title="What was read", title_justify="left")
    for reading in readings:
        table.add_column(reading.engine)
        table.add_column("sure", justify="right", style="dim")
    for row in range(max(len(r.lines) for r in readings)):
        cells: list[str] = []
        for reading in readings:
            line = reading.lines[row] if row < len(reading.lines) else None
            cells += (line.text, f"{line.confidence:.1%}") if line else ("", "")
        table.add_row(*cells)
    console.print(table)

    table = Table(title="Milliseconds", title_justify="left")
    table.add_column("")
    for reading in readings:
        table.add_column(reading.engine, justify="right")
    for name in readings[0].seconds:
        table.add_row(name, *(f"{r.seconds[name] * 1e3:.1f}" for r in readings))
    totals = (f"{sum(r.seconds.values()) * 1e3:.1f}" for r in readings)
    table.add_row("one picture", *totals, style="bold")
    loads = (f"{r.load_seconds * 1e3:.0f}" for r in readings)
    table.add_row("once: load or compile", *loads, style="dim")
    console.print(table)


def main() -> None:
    """Parse the command line, read the picture with both engines, print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", nargs="?", help="an image file (default: draw one)")
    parser.add_argument("--models", type=Path, default=Path(".cache/models"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="timed runs")
    parser.add_argument("--only", choices=("nnc", "onnxruntime"), help="one engine")
    args = parser.parse_args()
    console = Console()

    if args.picture is None:
        picture = draw_picture()
        console.print("A picture with these lines:", *LINES, sep="\n  ", style="dim")
    else:
        picture = np.asarray(Image.open(args.picture).convert("RGB"))
    engines: dict[str, Engine] = {
        "nnc": NncEngine(args.threads),
        "onnxruntime": OnnxRuntimeEngine(args.threads),
    }
    if args.only:
        engines = {args.only: engines[args.only]}
    readings: list[Reading] = []
    for engine in engines.values():
        with console.status(f"{engine.name}: loading three networks, then reading"):
            readings.append(read_with(engine, args.models, picture, args.runs))
    show(readings, console)

    texts = [[line.text for line in r.lines] for r in readings]
    if any(other != texts[0] for other in texts):
        sys.exit("the engines read different texts")


if __name__ == "__main__":
    main()
