"""``study flops``: what configurations cost, without the data that they would be trained on."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study.grid.reading import load

ROOT = Path(__file__).parents[2]

# Additional multiply-accumulates (10⁹) and parameters (10⁶) of a Faster R-CNN R50 for an image of
# 800x1344: arithmetic by hand from what mmcv's module multiplies, for six blocks in conv4 and three
# in conv5 with 8 heads and kv_stride 2.
DERIVED = {
    "0000": ("10.32", "2.362"), "1000": ("20.64", "4.722"),
    "0001": ("11.74", "3.545"), "1001": ("22.06", "5.904"),
    "0010": ("1.26", "3.545"), "1010": ("20.64", "4.725"),
    "0011": ("12.37", "4.728"), "1011": ("22.06", "5.907"),
    "0100": ("14.70", "4.722"), "1100": ("22.54", "5.901"),
    "0101": ("14.70", "4.725"), "1101": ("22.54", "5.904"),
    "0110": ("15.33", "5.904"), "1110": ("22.54", "5.904"),
    "0111": ("15.33", "5.907"), "1111": ("22.54", "5.907"),
}  # fmt: skip
GRID = """
task: detection
recipe: {{data: coco, depth: {depth}, base_channels: 64, fpn_channels: 256, head_channels: 1024,
  proposals: 1000, image_scale: [1333, 800]}}
product: {{mechanism: [none, 0010, 0110+deformable]}}
seeds: [0, 1, 2]
"""
COLUMNS = [f"{whose}_{what}" for whose in ("model", "mechanism")
           for what in ("macs", "executed_macs", "parameters")]  # fmt: skip


def flops(*arguments, check=0):
    command = [Path(sys.executable).with_name("study"), "flops", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == check, done.stderr
    return done


def frame(text):
    return pd.read_csv(io.StringIO(text), comment="#", dtype={"mechanism": str})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All three forms of one grid, without any data set, and the memory that took."""
    folder = tmp_path_factory.mktemp("flops")
    grid = folder / "grid.yaml"
    grid.write_text(GRID.format(depth=50))
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    files = {ending: folder / f"table.{ending}" for ending in ("md", "csv", "tex")}
    study = Path(sys.executable).with_name("study")
    command = [study, "flops", grid, *(part for f in files.values() for part in ("--out", f))]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={"STUDY_DATA": str(folder / "nothing"), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    kilobytes = int(done.stdout.splitlines()[-1])
    return {ending: file.read_text() for ending, file in files.items()}, kilobytes


def test_it_needs_neither_data_nor_memory(written):
    texts, kilobytes = written
    assert list(frame(texts["csv"]).mechanism) == ["none", "0010", "0110+deformable"]
    assert kilobytes < 2e6


def test_the_forms_tell_the_same(written):
    texts, _ = written
    numbers = frame(texts["csv"]).set_index("mechanism")
    macs = numbers.loc["0010", "mechanism_macs"]
    assert f"{macs / 1e9:.2f}" == "1.26"
    assert numbers.loc["0010", "input"] == "3x800x1344"
    lines = [line for line in texts["md"].splitlines() if line.startswith("| 0010 ")]
    assert len(lines) == 1
    assert " 1.26 |" in lines[0]
    assert r"0010 & " in texts["tex"]
    for text in texts.values():
        assert "aten.grid_sampler_2d" in text.replace(r"\_", "_")


@pytest.mark.parametrize(
    "place",
    ["coco", "cityscapes", "wmt14", "imagenet", "cub", "vqa2", "vqa-cp", "clevr", "flickr30k"],
)
def test_the_tables_in_the_repository_are_those_of_its_grids(place):
    committed = frame((ROOT / f"results/cost/{place}.csv").read_text())
    grids = {path: load(path) for path in sorted((ROOT / "grids" / place).rglob("*.yaml"))}
    assert set(committed.grid) == {grid.name for grid in grids.values()}
    for grid in grids.values():
        rows = committed[committed.grid == grid.name]
        cells = [(mechanism, ".".join(sites)) for mechanism, sites in grid.cells()]
        at_sites = rows.sites.fillna("")
        assert set(at_sites) == ({sites for _, sites in cells if sites} or {""})
        for sites, listed in rows.groupby(at_sites):  # `none`, which has none, is listed with each
            assert list(listed.mechanism) == [word for word, at in cells if at in ("", sites)]


def test_the_table_of_coco_is_what_is_counted(written):
    texts, _ = written
    fresh = frame(texts["csv"]).set_index("mechanism")
    committed = frame((ROOT / "results/cost/coco.csv").read_text())
    committed = committed[committed.grid == "coco/self_attention"].set_index("mechanism")
    assert fresh[COLUMNS].equals(committed.loc[fresh.index, COLUMNS])


def test_the_table_of_coco_is_the_one_derived_by_hand():
    committed = frame((ROOT / "results/cost/coco.csv").read_text())
    rows = committed[committed.grid == "coco/self_attention"].set_index("mechanism")
    found = {
        terms: (
            f"{rows.loc[terms, 'mechanism_macs'] / 1e9:.2f}",
            f"{rows.loc[terms, 'mechanism_parameters'] / 1e6:.3f}",
        )
        for terms in DERIVED
    }
    assert found == DERIVED
    added = rows.model_macs - rows.loc["none", "model_macs"]
    assert (added == rows.mechanism_macs).all()


def test_an_ending_that_says_nothing_is_an_error(tmp_path):
    done = flops(ROOT / "grids/coco/deformable.yaml", "--out", tmp_path / "table.txt", check=2)
    assert "the ending says what to write; valid: .md, .csv, .tex" in done.stderr


def test_plan_counts_without_the_data_too(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID.format(depth=18))
    study = Path(sys.executable).with_name("study")
    done = subprocess.run(
        [study, "plan", grid, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={"STUDY_DATA": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    costs = {run["mechanism"]: run["cost"] for run in json.loads(done.stdout)["runs"]}
    assert costs["none"]["mechanism"]["macs"] == 0
    # Two BasicBlocks in conv4 (256 channels) and in conv5 (512): offsets at twice their 3x3 taps.
    from plugins.attention.maps import cost

    arguments = {"heads": 8, "terms": "0110", "kv_stride": 2}
    expected = 0
    for size, channels in (((50, 84), 256), ((25, 42), 512)):
        expected += 2 * cost.generalized(size, channels, **arguments).macs
        # The first block of a stage halves the map and has half of the channels before it.
        for before in (channels // 2, channels):
            expected += cost.deformable(size, before).macs
    assert costs["0110+deformable"]["mechanism"]["macs"] == expected
