"""Whatever can be captioned is read, whatever cannot is refused in one sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvlm_mini.datasets.scenes import scene
from uvlm_mini.pictures import read_picture

PICTURE = scene("test", 3).draw(256)
IMAGE = Image.fromarray(PICTURE)


def small(picture: np.ndarray) -> np.ndarray:
    """The mean of every 4 x 4 pixels: what reading at a quarter of the size should give."""
    return picture.reshape(64, 4, 64, 4, 3).mean((1, 3))


def close(path: Path, expected: np.ndarray, most: float = 1.0) -> None:
    """The file reads as the expected pixels, on average within `most` of 255."""
    got = read_picture(path)
    assert got.shape == (64, 64, 3) and got.dtype == np.uint8
    assert np.abs(got - expected).mean() <= most


def test_png_is_averaged(tmp_path: Path) -> None:
    """A picture four times as large becomes the means of its pixels."""
    IMAGE.save(tmp_path / "p.png")
    close(tmp_path / "p.png", small(PICTURE), 0.5)


def test_own_size_is_left_alone(tmp_path: Path) -> None:
    """A picture of the model's size is read to the byte."""
    exact = scene("test", 3).draw()
    Image.fromarray(exact).save(tmp_path / "p.png")
    assert np.array_equal(read_picture(tmp_path / "p.png"), exact)


def test_jpeg_and_a_large_one(tmp_path: Path) -> None:
    """JPEG loses a little; one of 4096 pixels is decoded at a smaller size and still is the same picture."""
    IMAGE.save(tmp_path / "p.jpg", quality=95)
    close(tmp_path / "p.jpg", small(PICTURE), 3)
    IMAGE.resize((4096, 4096), Image.Resampling.NEAREST).save(tmp_path / "l.jpg", quality=90)
    close(tmp_path / "l.jpg", small(PICTURE), 3)


def test_grey_is_grey(tmp_path: Path) -> None:
    """Greyscale becomes three equal channels."""
    IMAGE.convert("L").save(tmp_path / "p.png")
    got = read_picture(tmp_path / "p.png")
    assert (got[..., 0] == got[..., 1]).all() and (got[..., 1] == got[..., 2]).all()
    close(tmp_path / "p.png", small(np.asarray(IMAGE.convert("L").convert("RGB"))))


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    """What is transparent is white, what is half transparent is halfway."""
    alpha = np.full((256, 256, 4), (0, 0, 0, 0), np.uint8)
    alpha[128:] = (0, 0, 0, 128)
    Image.fromarray(alpha, "RGBA").save(tmp_path / "p.png")
    got = read_picture(tmp_path / "p.png")
    assert (got[:31] == 255).all() and np.abs(got[33:].astype(int) - 127).max() <= 1


def test_cmyk(tmp_path: Path) -> None:
    """CMYK is converted."""
    IMAGE.convert("CMYK").save(tmp_path / "p.jpg", quality=95)
    close(tmp_path / "p.jpg", small(PICTURE), 4)


def test_sixteen_bits(tmp_path: Path) -> None:
    """Sixteen bits are scaled to eight: neither cut off above nor wrapped, which would leave the lower byte."""
    grey = np.asarray(IMAGE.convert("L")).astype(np.uint16)
    Image.fromarray(256 * grey + (255 - grey)).save(tmp_path / "p.png")
    close(tmp_path / "p.png", small(np.asarray(IMAGE.convert("L").convert("RGB"))))


def test_palette_and_animation(tmp_path: Path) -> None:
    """Of an animation the first frame is taken."""
    other = Image.new("RGB", (256, 256), "red")
    IMAGE.save(tmp_path / "p.gif", save_all=True, append_images=[other, other])
    close(tmp_path / "p.gif", small(np.asarray(IMAGE.quantize().convert("RGB"))), 6)


def test_oblong_is_cut_to_its_middle(tmp_path: Path) -> None:
    """The middle square is what counts."""
    wide = np.zeros((256, 512, 3), np.uint8)
    wide[:, 128:384] = PICTURE
    Image.fromarray(wide).save(tmp_path / "p.png")
    close(tmp_path / "p.png", small(PICTURE), 0.5)


def test_rotation_of_the_camera(tmp_path: Path) -> None:
    """The orientation that a camera notes is applied."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(np.rot90(PICTURE).copy()).save(tmp_path / "p.png", exif=exif)
    close(tmp_path / "p.png", small(PICTURE), 0.5)


def test_refused(tmp_path: Path) -> None:
    """No file, no picture, too small, too large: a sentence each."""
    with pytest.raises(FileNotFoundError, match=r"There is no picture .*; give"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"is not a picture that Pillow can read; give"):
        read_picture(tmp_path / "text.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match=r"is 1 x 1 pixels; give"):
        read_picture(tmp_path / "one.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match=r"is 20000 x 20000 pixels; scale"):
        read_picture(tmp_path / "huge.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated(tmp_path: Path, ending: str, share: float) -> None:
    """A file that ends too soon is refused in one sentence, wherever it ends."""
    whole = tmp_path / f"p.{ending}"
    IMAGE.save(whole)
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"(truncated|not a picture)") as caught:
        read_picture(whole)
    assert "\n" not in str(caught.value)
