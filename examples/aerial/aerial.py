"""An aerial image from file to map and back: labelled in tiles, exported as GeoParquet, read in as boxes.

The raster is made here: a mosaic of generated scenes as a GeoTIFF of 16 bits with four bands (blue, green,
red, near infrared), turned by 20 degrees against its map, with a corner that has no data.

    python examples/aerial/aerial.py OUT

writes OUT/scene/field.tif, OUT/labelled (a dataset), OUT/map/regions.parquet and OUT/aerial.png, and prints
how far the boxes are from where they were after the way over the map. Needs the extras `model` and `geo`.
"""

import sys
from itertools import count, islice
from pathlib import Path

import numpy as np
import rasterio
from PIL import ImageDraw
from rasterio.transform import Affine

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.pixels import decode_row, image_bytes
from fo1_data.dataset.reader import open_dataset
from fo1_data.proposals.boxes_files import load_boxes_file
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.jobs import RunConfig

SIDE, TILES = 336, 3
NODATA = 0
# Scenes on a lighter ground than this are taken.
LIGHT = 150
# Three tenths of a metre a pixel, turned against north.
TRANSFORM = Affine.translation(404_200, 3_285_200) @ Affine.rotation(20) @ Affine.scale(0.3, -0.3)


def write_raster(path: Path) -> None:
    """A mosaic of scenes as reflectances of 16 bits, in the order of a satellite's bands."""
    drawn = (np.asarray(make_scene(seed, (4, 8), (SIDE, SIDE)).image) for seed in count(7))
    scenes = list(islice((scene for scene in drawn if scene.mean() > LIGHT), TILES * TILES))
    rows = [np.concatenate(scenes[first : first + TILES], axis=1) for first in range(0, len(scenes), TILES)]
    rgb = np.concatenate(rows)
    red, green, blue = np.moveaxis(rgb.astype(np.uint16) * 12 + 300, 2, 0)
    bands = np.stack([blue, green, red, (green + red) // 2])
    height, width = red.shape
    row, column = np.mgrid[:height, :width]
    bands[:, row + column < width // 3] = NODATA
    options = {"width": width, "height": height, "count": 4, "dtype": "uint16", "nodata": NODATA}
    tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    with rasterio.open(
        path, "w", "GTiff", crs="EPSG:32617", transform=TRANSFORM, **options, **tiling
    ) as file:
        file.write(bands)
        for number, name in enumerate(("blue", "green", "red", "nir"), 1):
            file.set_band_description(number, name)


def draw(row: ImageRow, path: Path) -> None:
    """The picture that was labelled, with the regions and their captions."""
    limits = InputLimits()
    picture = decode_row(row, image_bytes(row, limits), limits).rgb
    pen = ImageDraw.Draw(picture)
    for region in row.regions:
        x_min, y_min, _, _ = region.box_xyxy
        pen.rectangle(region.box_xyxy, outline="black", width=2)
        pen.text((x_min + 3, y_min + 2), region.brief_caption or "", fill="black", stroke_width=2,
                 stroke_fill="white")  # fmt: skip
    picture.save(path)


def main(out: Path) -> None:
    """Make, label, export and read back."""
    (out / "scene").mkdir(parents=True)
    write_raster(out / "scene" / "field.tif")
    run_in_process(
        RunConfig(corpus=str(out / "scene"), out=str(out / "labelled"), labels=["brief_caption"],
                  stretch="minmax", tile_px=str(SIDE)),
        None,
    )  # fmt: skip
    [row] = open_dataset(str(out / "labelled")).rows()
    draw(row, out / "aerial.png")
    print(export_dataset(str(out / "labelled"), "geoparquet", str(out / "map")))
    boxes = load_boxes_file(str(out / "map" / "regions.parquet"))
    [entry] = boxes.attach_boxes([CorpusImage(uri=row.uri)])
    there = np.array([region.box_xyxy for region in row.regions])
    back = np.array([region.box_xyxy for region in entry.regions or []])
    print(f"{len(back)} boxes come back within {np.abs(there - back).max():.6f} px")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
