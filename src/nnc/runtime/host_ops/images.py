"""Images decoded from files in memory; needs Pillow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import Array, HostOpError, HostValue, described

if TYPE_CHECKING:
    from PIL.Image import Image

# What the standard lists, by the names that Pillow has for them.
_FORMATS: Final = ("BMP", "JPEG", "JPEG2000", "TIFF", "PNG", "WEBP", "PPM")
_MODES: Final = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}
_CHANNELS: Final = {"RGB": 3, "BGR": 3, "Grayscale": 1}


def _pixel_format(call: Call | TypeCall) -> str:
    name = call.attributes.text("pixel_format", "RGB")
    if name not in _MODES:
        raise HostOpError(f"pixel_format '{name[:40]}' is none of {', '.join(_MODES)}")
    return name


def _image_types(call: TypeCall) -> HostType:
    return tensor("uint8", (None, None, _CHANNELS[_pixel_format(call)]))


@host_op("ImageDecoder", since=20, types=_image_types)
def _image_decoder(call: Call) -> HostValue:
    stream, wanted = call.tensor(0), _pixel_format(call)
    if stream.dtype != np.uint8 or stream.ndim != 1:
        raise HostOpError(f"{described(stream)} is no vector of bytes")
    image = _decoded(stream)
    if image is None:
        # The standard asks for an empty tensor where there is no image to decode.
        return np.zeros((0, 0, _CHANNELS[wanted]), np.uint8)
    pixels = np.asarray(image.convert(_MODES[wanted]), np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels[:, :, ::-1] if wanted == "BGR" else pixels


def _decoded(stream: Array) -> Image | None:
    """
    The image in a file; None if there is none.

    Raises:
        HostOpError: Pillow is not installed, or the image is too large to be trusted.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise HostOpError(
            "decoding images needs Pillow; install it with 'pip install pillow'"
        ) from error
    try:
        image = Image.open(io.BytesIO(stream.tobytes()), formats=_FORMATS)
        image.load()
    except Image.DecompressionBombError as error:
        raise HostOpError(str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError):
        return None
    return image
