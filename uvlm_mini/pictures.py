"""Picture files to pixels, whatever their mode and size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

LEAST = 8  # pixels a side: under that there is nothing to see
MOST = 100_000_000  # pixels in all: above that a file is refused before it is decoded


def read_picture(path: str | Path, side: int = 64, content: bytes | None = None) -> np.ndarray:
    """The picture as the model takes it: the middle square, (side, side, 3) uint8 sRGB.

    With `content`, the bytes of a file that lies in an archive, `path` is only the name that it is called by.

    Raises
    ------
    FileNotFoundError, ValueError : see `load_picture`.
    """
    from PIL import Image, ImageOps

    upright = load_picture(path, 4 * side, content)
    way = Image.Resampling.BOX if min(upright.size) >= side else Image.Resampling.BICUBIC
    return np.asarray(ImageOps.fit(upright, (side, side), way))


def load_picture(path: str | Path, draft: int | None = None, content: bytes | None = None) -> PIL.Image.Image:
    """The whole picture, upright and in RGB.

    Greyscale, palette, CMYK and 16-bit pictures are converted, transparency is laid on white, the first frame of
    an animation is taken, and the camera's rotation is applied.

    Parameters
    ----------
    path : an image file.
    draft : pixels a side; a JPEG is decoded at a smaller size, not under this one, where it is much larger.
    content : bytes of the file, where it lies in an archive; `path` is then only its name.

    Raises
    ------
    FileNotFoundError : no such file.
    ValueError : not a picture, a truncated one, one too small or too large.
    """
    from PIL import ImageOps

    with _opened(path, content) as image:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        image.load()
        return _rgb(ImageOps.exif_transpose(image))


def picture_size(path: str | Path, content: bytes | None = None) -> tuple[int, int]:
    """Width and height in pixels, from the header alone; raises as `load_picture` does."""
    with _opened(path, content) as image:
        return image.size


@contextmanager
def _opened(path: str | Path, content: bytes | None) -> Iterator[PIL.Image.Image]:
    """An open image file; what goes wrong with it is said in one sentence."""
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if content is None and not path.is_file():
        raise FileNotFoundError(f"There is no picture {path}; give the path of an image file.")
    try:
        Image.MAX_IMAGE_PIXELS = None  # our own limit below says what to do
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            width, height = image.size
            if min(width, height) < LEAST:
                raise ValueError(f"{path} is {width} x {height} pixels; give a picture of {LEAST} x {LEAST} at least.")
            if width * height > MOST:
                raise ValueError(
                    f"{path} is {width} x {height} pixels; scale it under {MOST // 1_000_000} megapixels first."
                )
            yield image
    except (UnidentifiedImageError, SyntaxError):
        raise ValueError(f"{path} is not a picture that Pillow can read; give a PNG, JPEG or similar.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read to its end ({error}); it may be truncated: copy it again.") from None


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if values.max() > 255 else 255.0
        return Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
