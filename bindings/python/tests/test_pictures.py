# SPDX-License-Identifier: MIT
"""Pictures: without a copy where that can be, and of every kind."""

import gc
import io

import numpy
import pytest

import dreambooth


def noise(height, width, channels=3):
    return numpy.random.default_rng(0).integers(
        0, 256, (height, width, channels), numpy.uint8)


def test_pixels_are_the_librarys_own():
    image = dreambooth.Image.new(5, 4)
    pixels = numpy.asarray(image)
    assert pixels.shape == (4, 5, 3) and pixels.dtype == numpy.uint8
    assert not pixels.any()
    pixels[1, 2] = (1, 2, 3)
    assert (numpy.asarray(image)[1, 2] == (1, 2, 3)).all()
    assert numpy.shares_memory(pixels, numpy.asarray(image))


def test_pixels_keep_the_picture_alive():
    views = []
    for value in range(50):
        image = dreambooth.Image.from_array(numpy.full((64, 64, 3), value,
                                                       numpy.uint8))
        views.append(numpy.asarray(image)[8:])
        del image
    gc.collect()
    assert all((view == value).all() for value, view in enumerate(views))


def test_pictures_of_every_kind(tmp_path):
    pixels = noise(6, 7)
    image = dreambooth.Image(pixels)
    image.write(tmp_path / "a.png", {"key": "wörter"})
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"),
                   (tmp_path / "a.png").read_bytes(), image, pixels[:, :, :],
                   pixels[::-1][::-1], numpy.asfortranarray(pixels)):
        assert (numpy.asarray(dreambooth.Image(source)) == pixels).all()
    for wrong in (pixels[:, :, 0], pixels.astype(float), noise(3, 3, 4), 7):
        with pytest.raises(ValueError, match="height, width, 3"):
            dreambooth.Image(wrong)


def test_pillow(tmp_path):
    pillow = pytest.importorskip("PIL.Image",
                                 reason="Pillow's pictures, for want of it")
    pixels = noise(6, 7)
    picture = dreambooth.Image(pixels).to_pil()
    assert picture.mode == "RGB" and picture.size == (7, 6)
    assert (numpy.asarray(picture) == pixels).all()
    dreambooth.Image(pixels).write(tmp_path / "a.png", {"key": "wörter"})
    assert pillow.open(tmp_path / "a.png").text == {"key": "wörter"}
    turned = pillow.Exif()
    turned[0x0112] = 6
    for mode, options in (("RGB", {"exif": turned}), ("L", {}), ("P", {}),
                          ("RGBA", {}), ("1", {})):
        file = io.BytesIO()
        kind = "JPEG" if options else "PNG"
        picture.convert(mode).save(file, kind, **options)
        ours = numpy.asarray(dreambooth.Image(file.getvalue()))
        theirs = numpy.asarray(dreambooth.Image(pillow.open(file)))
        assert (ours == theirs).all(), mode
    assert dreambooth.Image(pixels)._repr_png_().startswith(b"\x89PNG")


def test_square_and_sheet():
    square = dreambooth.Image(noise(40, 60)).square(16)
    assert (square.width, square.height) == (16, 16)
    sheet = dreambooth.Image.sheet([square, noise(16, 16)], columns=2, margin=1)
    assert (sheet.width, sheet.height) == (35, 18)
    assert (numpy.asarray(sheet)[1:17, 1:17] == numpy.asarray(square)).all()
