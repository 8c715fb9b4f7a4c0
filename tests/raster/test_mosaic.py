"""Several files of one grid are one image: the one that they were cut from, and nothing is joined that does not fit."""

import datetime
import itertools
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.enums import ColorInterp
from rasterio.warp import reproject

from uvsam.errors import GeoreferencingError, SceneError, SettingsError
from uvsam.raster.chips import Chip, SceneReader
from uvsam.raster.identity import identity
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import IDENTITY, Stretch, survey
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

GRID = Affine(0.5, 0, 270000, 0, -0.5, 2106000)
DEGREES = Affine(4.5e-6, 0, 72.8147, 0, -4.5e-6, 19.0338)  # where the other one is
TURNED = GRID * Affine.rotation(30)


def write(
    path: Path, pixels: np.ndarray, *, at: tuple[int, int] = (0, 0), grid: Affine = GRID, colours: str = "",
    mask: np.ndarray | None = None, acquired: str | None = None, **profile: Any,
) -> Path:  # fmt: skip
    """Pixels (C, H, W) whose upper left one is (row, column) ``at`` of the grid."""
    profile = {"crs": "EPSG:32643", "driver": "GTiff", "dtype": pixels.dtype} | profile
    transform = grid * Affine.translation(at[1], at[0])
    count, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", count=count, height=height, width=width, transform=transform, **profile) as dataset,
    ):
        dataset.write(pixels)
        if colours:
            names = {"r": "red", "g": "green", "b": "blue", "a": "alpha", "x": "undefined"}
            dataset.colorinterp = [ColorInterp[names[letter]] for letter in colours]
        if mask is not None:
            dataset.write_mask(mask)
        if acquired:
            dataset.update_tags(ACQUIRED=acquired)
    return path


def noise(*shape: int, seed: int = 1, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def everything(scene: Scene, stretch: Stretch = IDENTITY) -> Chip:
    with SceneReader(scene, stretch) as reader:
        return reader.read(Window(0, 0, *scene.shape))


def same(one: Chip, other: Chip) -> bool:
    return np.array_equal(one.pixels, other.pixels) and np.array_equal(one.valid, other.valid)


@st.composite
def cuts(draw: st.DrawFn, height: int, width: int) -> list[tuple[slice, slice]]:
    """Rectangles that cover a raster, in any order; some of them larger than they need to be."""
    rows = sorted({0, height, *draw(st.lists(st.integers(1, height - 1), max_size=2))})
    cols = sorted({0, width, *draw(st.lists(st.integers(1, width - 1), max_size=2))})
    more = draw(st.integers(0, 3))
    pieces = [
        (slice(max(0, top - more), bottom), slice(max(0, left - more), right))
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(cols)
    ]
    return draw(st.permutations(pieces))


@settings(max_examples=60)
@given(st.data())
def test_an_image_in_pieces_is_the_image(data: st.DataObject) -> None:
    height, width = 23, 31
    dtype, nodata, kind = data.draw(
        st.sampled_from(
            [("uint8", None, ""), ("uint8", 0, ""), ("uint8", None, "mask"), ("uint8", None, "alpha"),
             ("uint16", 7, ""), ("uint16", None, "alpha"), ("int16", -9999, ""), ("float32", np.nan, ""),
             ("float32", None, "mask"), ("float64", -1.5, "")]
        )
    )  # fmt: skip
    grid = data.draw(st.sampled_from([GRID, TURNED, DEGREES]))
    pixels = noise(3, height, width, dtype=dtype)
    mask = data.draw(hnp.arrays(bool, (height, width)))
    mask[0, 0] = True  # an image without a pixel is refused
    if nodata is not None:
        pixels[:, ~mask] = nodata
        pixels[0, 2] = nodata
    layers, options = pixels, {"grid": grid, "nodata": nodata, "crs": "EPSG:4326" if grid.a < 0.1 else "EPSG:32643"}
    if kind == "alpha":
        layers = np.concatenate([pixels, np.where(mask, 9, 0)[None].astype(dtype)])
        options["colours"] = "rgba"
    with tempfile.TemporaryDirectory() as folder:

        def save(name: str, rows: slice, cols: slice) -> Path:
            own = mask[rows, cols] if kind == "mask" else None
            place = (rows.start or 0, cols.start or 0)
            return write(Path(folder) / name, layers[:, rows, cols], at=place, mask=own, **options)

        whole = open_scene(save("whole.tif", slice(None), slice(None)))
        pieces = [save(f"{n}.tif", *cut) for n, cut in enumerate(data.draw(cuts(height, width)))]
        mosaic = open_inputs(pieces)
        assert mosaic.geobox.shape == whole.geobox.shape
        assert mosaic.geobox.crs == whole.geobox.crs
        np.testing.assert_allclose(mosaic.geobox.affine, whole.geobox.affine, rtol=1e-13)
        assert mosaic.gsd_m == pytest.approx(whole.gsd_m)
        assert same(everything(mosaic), everything(whole))
        assert survey(mosaic) == survey(whole)


def test_what_no_file_covers_is_not_valid(tmp_path: Path) -> None:
    first, second = noise(3, 20, 20), noise(3, 20, 20, seed=2)
    paths = [write(tmp_path / "a.tif", first, at=(5, 40)), write(tmp_path / "b.tif", second, at=(30, 0))]
    chip = everything(open_inputs(paths))
    assert chip.valid.shape == (45, 60)
    assert chip.valid.sum() == 2 * 400
    np.testing.assert_array_equal(chip.pixels[:, :20, 40:], first)
    np.testing.assert_array_equal(chip.pixels[:, 25:, :20], second)


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask"])
def test_where_files_overlap_the_last_one_shows_that_has_data(tmp_path: Path, kind: str) -> None:
    below, above = noise(3, 20, 20), noise(3, 20, 20, seed=2)
    hole = np.ones((20, 20), bool)
    hole[:10] = False
    above[0, 15] = 0  # black in one band, nodata in none
    options: dict[str, Any] = {"nodata": {"nodata": 0}, "alpha": {"colours": "rgba"}, "mask": {"mask": hole}}[kind]
    layers = np.where(hole, above, 0) if kind == "nodata" else above
    if kind == "alpha":
        layers = np.concatenate([layers, np.where(hole, 255, 0)[None].astype("uint8")])
    one = write(tmp_path / "one.tif", below, nodata=options.get("nodata"))
    two = write(tmp_path / "two.tif", layers, at=(0, 5), **options)
    chip = everything(open_inputs([one, two]))
    expected = np.zeros((3, 20, 25))
    expected[:, :, :20] = below
    expected[:, 10:, 5:] = above[:, 10:]
    np.testing.assert_array_equal(chip.pixels, expected)
    assert not chip.valid[:10, 20:].any()
    assert chip.valid[10:].all()
    assert chip.valid[:, :20].all()
    np.testing.assert_array_equal(everything(open_inputs([two, one])).pixels[:, :, :20], below)


def test_alpha_beside_no_alpha_and_other_orders_of_bands(tmp_path: Path) -> None:
    pixels = noise(3, 10, 30)
    alpha = np.full((1, 10, 10), 255, "uint8")
    alpha[:, 3] = 0
    paths = [
        write(tmp_path / "plain.tif", pixels[:, :, :10]),
        write(tmp_path / "alpha.tif", np.concatenate([pixels[:, :, 10:20], alpha]), at=(0, 10), colours="rgba"),
        write(tmp_path / "bgr.tif", pixels[::-1, :, 20:], at=(0, 20), colours="bgr"),
    ]
    chip = everything(open_inputs(paths))
    valid = np.ones((10, 30), bool)
    valid[3, 10:20] = False
    np.testing.assert_array_equal(chip.valid, valid)
    np.testing.assert_array_equal(chip.pixels, np.where(valid, pixels, 0))


def test_bands_of_the_user_are_those_of_every_file(tmp_path: Path) -> None:
    pixels = noise(5, 8, 8)
    paths = [write(tmp_path / f"{n}.tif", pixels[:, :, 4 * n : 4 * n + 4], at=(0, 4 * n)) for n in (0, 1)]
    np.testing.assert_array_equal(everything(open_inputs(paths, bands=(5, 3, 2))).pixels, pixels[[4, 2, 1]])


def test_files_have_any_name_and_the_folder_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(3, 8, 8)
    names = ['a & "b" <c>.tif', "my city 城.tif"]
    for n, name in enumerate(names):
        write(tmp_path / name, pixels[:, :, 4 * n : 4 * n + 4], at=(0, 4 * n))
    monkeypatch.chdir(tmp_path)
    scene = open_inputs(names)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(everything(scene).pixels, pixels)
    assert scene.name == f"{tmp_path / names[0]} and 1 more"
    assert [name for name, _, _ in identity(scene.uri)] == [str(tmp_path / name) for name in names]


def test_a_file_named_twice_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(3, 8, 8))
    assert open_inputs([path, str(path)]) == open_scene(path)


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "half a pixel": ({"grid": GRID * Affine.translation(0.5, 0)}, r"lie 0\.5 px beside those of"),
    "gsd": ({"grid": GRID * Affine.scale(1.2)}, r"has pixels of 0\.5998 x 0\.5998 m and .* of 0\.4999"),
    "crs": ({"crs": "EPSG:4326", "grid": DEGREES}, "in another coordinate reference system than"),
    "south-up": ({"grid": GRID * Affine.scale(1, -1)}, "has pixels of"),
    "turned": ({"grid": TURNED}, "has pixels of"),
}


@pytest.mark.parametrize(("other", "words"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_align_is_refused_and_the_advice_helps(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    first, second = write(tmp_path / "a.tif", noise(3, 30, 30)), tmp_path / "b.tif"
    write(second, noise(3, 30, 30), at=(0, 30), **other)
    with pytest.raises(GeoreferencingError, match=words) as caught:
        open_inputs([first, second])
    message = str(caught.value)
    assert str(first) in message
    assert str(second) in message
    assert "\n" not in message
    numbers = r"(\S+) (\S+) (\S+) (\S+) -tr (\S+) (\S+) "
    crs, *rest = re.search(rf"gdalwarp -t_srs (\S+) -te {numbers}", message).groups()  # type: ignore[union-attr]
    left, bottom, right, top, x, y = map(float, rest)
    grid = Affine(x, 0, left, 0, -y, top)
    warped = np.zeros((3, round((top - bottom) / y), round((right - left) / x)), "uint8")
    with rasterio.open(second) as source:
        reproject(rasterio.band(source, [1, 2, 3]), warped, dst_transform=grid, dst_crs=crs)
    assert (warped > 0).mean() > 0.3
    aligned = write(tmp_path / "aligned.tif", warped, grid=grid, crs=crs)
    assert open_inputs([first, aligned]).geobox.crs == open_scene(first).geobox.crs


def test_grids_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    pixels = noise(3, 8, 8)
    a = write(tmp_path / "a.tif", pixels[:, :, :4])
    b = write(tmp_path / "b.tif", pixels[:, :, 4:], at=(0, 4), grid=Affine.translation(0.004, -0.004) * GRID)
    for paths in ([a, b], [b, a]):
        scene = open_inputs(paths)
        np.testing.assert_array_equal(everything(scene).pixels, pixels)
        assert scene.geobox.affine == GRID


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        ({"dtype": "uint16"}, SceneError, "uint8 pixels and .* has uint16"),
        ({"nodata": 0}, SceneError, r"nodata value of .*a\.tif is none, that of .*b\.tif is 0; say the same"),
        ({"crs": None}, GeoreferencingError, r"b\.tif has no place on earth; one run takes only one"),
        ({"at": (90_000_000, 0)}, SceneError, "too far apart"),
    ],
    ids=["dtype", "nodata", "no crs", "far"],
)
def test_what_is_not_alike_is_refused(tmp_path: Path, other: dict[str, Any], error: type, words: str) -> None:
    pixels = noise(3, 30, 30).astype(other.get("dtype", "uint8"))
    paths = [write(tmp_path / "a.tif", noise(3, 30, 30)), write(tmp_path / "b.tif", pixels, **{"at": (0, 30)} | other)]
    with pytest.raises(error, match=words) as caught:
        open_inputs(paths, allow_ungeoreferenced=True)
    assert "\n" not in str(caught.value)


def test_what_says_twice_where_it_is_valid_is_refused(tmp_path: Path) -> None:
    pixels, full = noise(4, 8, 8), np.ones((8, 8), bool)
    plain = write(tmp_path / "plain.tif", pixels[:3], nodata=0)
    alpha_and_mask = write(tmp_path / "both.tif", pixels, colours="rgba", mask=full, nodata=0)
    with pytest.raises(SceneError, match=r"both\.tif has an alpha band and a mask; leave one out"):
        open_inputs([plain, alpha_and_mask])
    for col, refused in ((8, False), (7, True)):
        alpha = write(tmp_path / "alpha.tif", pixels, at=(0, col), colours="rgba", nodata=0)
        if not refused:
            assert open_inputs([plain, alpha]).shape == (8, 16)
            continue
        with pytest.raises(SceneError, match=r"alpha\.tif overlaps others and has both"):
            open_inputs([plain, alpha])


def test_images_without_a_position_cannot_be_joined(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.tif", noise(3, 8, 8, seed=n), crs=None) for n in (1, 2)]
    with pytest.raises(GeoreferencingError, match="only one such image"):
        open_inputs(paths, allow_ungeoreferenced=True)


def test_days_agree_or_the_user_says_one(tmp_path: Path) -> None:
    spring, autumn = datetime.date(2020, 4, 1), datetime.date(2020, 10, 2)
    days = {"a": "2020-04-01", "b": "2020-10-02T07:00:00Z", "c": None}
    a, b, c = (
        write(tmp_path / f"{name}.tif", noise(3, 4, 4), at=(0, 4 * n), acquired=day)
        for n, (name, day) in enumerate(days.items())
    )
    assert open_inputs([c]).acquired is None
    assert open_inputs([c, a]).acquired == spring
    with pytest.raises(SceneError, match=r"a\.tif was taken on 2020-04-01 and .*b\.tif on 2020-10-02; .* --date"):
        open_inputs([b, a, c])
    with pytest.warns(UserWarning, match=r"a\.tif says that it was taken on 2020-04-01; 2020-10-02 is used"):
        assert open_inputs([b, a, c], acquired=autumn).acquired == autumn


def test_a_file_that_goes_missing_or_is_damaged_is_named(tmp_path: Path) -> None:
    options = {"compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64}
    paths = [write(tmp_path / f"{n}.tif", noise(3, 128, 128, seed=n), at=(0, 128 * n), **options) for n in range(3)]
    scene = open_inputs(paths)
    content = bytearray(paths[1].read_bytes())
    content[len(content) // 2 : len(content) // 2 + 5000] = bytes(5000)
    paths[1].write_bytes(content)
    paths[2].unlink()
    with SceneReader(scene, IDENTITY) as reader:
        assert reader.read(Window(0, 0, 128, 128)).valid.all()
        for place, name in ((Window(0, 128, 128, 128), "1.tif"), (Window(0, 256, 128, 128), "2.tif")):
            with pytest.raises(SceneError, match=name) as caught:
                reader.read(place)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 500


def test_an_input_that_changes_changes_the_identity(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.tif", noise(3, 8, 8, seed=n), at=(0, 8 * n)) for n in range(3)]
    before = identity(open_inputs(paths).uri)
    write(paths[2], noise(3, 8, 8, seed=9), at=(0, 16), compress="deflate")
    assert identity(open_inputs(paths).uri) != before
    assert len(before) == 3


def test_asset_is_an_option_of_items(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="STAC"):
        open_inputs(write(tmp_path / "a.tif", noise(3, 8, 8)), asset="visual")
