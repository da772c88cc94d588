"""Writes pictures of every kind that PNG and JPEG know into tests/data/images, and beside each what Pillow sees in it.

    .venv/bin/python tests/data/make_images.py [--out tests/data/images]

FILE.pixels is ImageOps.exif_transpose(Image.open(FILE)) as convert("RGB"), then as convert("L"): [3, H, W], [1, H, W].
"""
import argparse
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 37, 50


def picture(height=HEIGHT, width=WIDTH):
    """Smooth colours with an edge and a corner that shows how it was turned."""
    y, x = np.mgrid[0:height, 0:width] / 8
    planes = [127 + 100 * np.sin(x + phase) * np.cos(y / (1 + phase)) for phase in (0, 1, 2)]
    pixels = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    pixels[: height // 4, : width // 3] = (250, 20, 30)
    return Image.fromarray(pixels)


def cmyk_picture():
    pixels = np.asarray(picture())
    black = 40 + pixels[..., :1] // 3
    return Image.fromarray(np.concatenate([255 - pixels, black], -1), "CMYK")


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def as_ycck(jpeg):
    """The file with its four components declared as YCCK: byte 11 of the Adobe marker."""
    at = jpeg.index(b"Adobe")
    return jpeg[: at + 11] + b"\x02" + jpeg[at + 12:]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour_type, rows, interlace=0, between=b""):
    """A PNG of rows that are packed already: for kinds that Pillow reads and does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def jpegs():
    colours, ink = picture(), cmyk_picture()
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"colours_{name}.jpg", saved(colours, format="JPEG", quality=85, subsampling=subsampling)
        yield f"progressive_{name}.jpg", saved(colours, format="JPEG", subsampling=subsampling, progressive=True)
    yield "progressive_gray.jpg", saved(colours.convert("L"), format="JPEG", progressive=True)
    yield "smooth.jpg", saved(picture(18, 24).resize((192, 144), Image.Resampling.BICUBIC), format="JPEG", quality=95)
    yield "restarts.jpg", saved(colours, format="JPEG", restart_marker_blocks=3)
    yield "cmyk.jpg", saved(ink, format="JPEG", quality=90)
    yield "ycck.jpg", as_ycck(saved(ink, format="JPEG", quality=90))
    yield "progressive_cmyk.jpg", saved(ink, format="JPEG", progressive=True)
    for orientation in range(1, 9):
        yield f"exif_{orientation}.jpg", saved(colours, format="JPEG", exif=exif_of(orientation))
    yield "exif_gray_6.jpg", saved(colours.convert("L"), format="JPEG", exif=exif_of(6))
    yield "exif_99.jpg", saved(colours, format="JPEG", exif=exif_of(99))


def pngs():
    colours = picture(11, 13)
    values = np.asarray(colours.convert("L"))
    deep = np.asarray(colours).astype(">u2") * 257 + np.arange(13, dtype=np.uint16)[None, :, None]
    palette = colours.quantize(16)
    yield "palette_transparent.png", saved(palette, format="PNG", transparency=3)
    yield "palette_4_bit.png", saved(palette, format="PNG", bits=4)
    yield "colours_transparent.png", saved(colours, format="PNG", transparency=(250, 20, 30))
    yield "colours_16_bit.png", png(13, 11, 16, 2, [row.astype(">u2").tobytes() for row in deep])
    yield "gray_2_bit.png", png(13, 11, 2, 0, [np.packbits(np.unpackbits(row[:, None] >> 6, axis=1)[:, 6:]).tobytes()
                                               for row in values])
    yield "exif_6.png", saved(colours, format="PNG", exif=exif_of(6))
    yield "exif_3.png", saved(colours, format="PNG", exif=exif_of(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "images")
    folder = parser.parse_args().out
    for name, content in [*jpegs(), *pngs()]:
        (folder / name).write_bytes(content)
        seen = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        planes = [np.moveaxis(np.asarray(seen.convert("RGB")), -1, 0), np.asarray(seen.convert("L"))[None]]
        (folder / f"{name}.pixels").write_bytes(np.concatenate(planes).tobytes())


if __name__ == "__main__":
    main()
