"""Grid files: what they mean, and what a wrong one is told."""

import textwrap

import pytest

from plugins.attention.core.word import TERM_SETS
from study.errors import StudyError
from study.grid.reading import find, load
from study.runs.run import differences, open_folder
from tests.attention.invented import Gate, installed


@pytest.fixture
def grid(tmp_path):
    def write(text, name="grid.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


BASE = "task: detection\nproduct:\n  mechanism: [none, 1111, 0010]\n"


def test_term_sets_need_no_quotes(grid):
    words = ", ".join(TERM_SETS)
    runs = load(grid(f"task: detection\nproduct:\n  mechanism: [{words}]\n")).runs()
    assert [run.mechanism for run in runs] == list(TERM_SETS)


def test_numbers_are_numbers(grid):
    text = BASE + "recipe: {learning_rate: 1e-3, epochs: 1000, weight_decay: 0, data: digits}\n"
    recipe = load(grid(text)).runs()[0].science["recipe"]
    assert (recipe["learning_rate"], recipe["epochs"], recipe["weight_decay"]) == (0.001, 1000, 0)


def test_product_zip_exclude_and_seeds_combine(grid):
    text = """
task: segmentation
product:
  sites: [[conv4], [conv4, conv5]]
zip:
  mechanism: [0100@2, dynamic@2]
exclude:
  - {mechanism: dynamic@2, sites: conv4}
seeds: [3, 5]
"""
    cells = [(run.mechanism, run.sites, run.seed) for run in load(grid(text)).runs()]
    assert cells == [
        ("0100@2", ("conv4",), 3),
        ("0100@2", ("conv4",), 5),
        ("0100@2", ("conv4", "conv5"), 3),
        ("0100@2", ("conv4", "conv5"), 5),
        ("dynamic@2", ("conv4", "conv5"), 3),
        ("dynamic@2", ("conv4", "conv5"), 5),
    ]


def test_zip_pairs_its_lists(grid):
    text = "task: detection\nzip:\n  mechanism: [1111, 0010]\n  sites: [conv4, conv5]\n"
    cells = [(run.mechanism, run.sites) for run in load(grid(text)).runs()]
    assert cells == [("1111", ("conv4",)), ("0010", ("conv5",))]


def test_a_cell_stands_once_and_its_sites_in_one_order(grid):
    text = BASE.replace("[none, 1111, 0010]", "[1111, 1111]")
    text += "  sites: [[conv5, conv4], [conv4, conv5]]\n"
    assert [run.sites for run in load(grid(text)).runs()] == [("conv4", "conv5")]


def test_the_id_follows_from_the_science_alone(grid):
    first = load(grid(BASE)).runs()[0]
    again = load(grid(BASE + "baseline: none\n", "grids/other/name.yaml")).runs()[0]
    assert again.grid == "other/name"
    assert again.id == first.id
    assert first.id.startswith("detection-trees-none-s0-")
    second = load(grid(BASE)).runs()[1]
    assert second.id.startswith("detection-trees-1111-conv4.conv5-s0-")
    assert len(first.hash) == 16
    changed = load(grid(BASE + "recipe: {epochs: 7}\n")).runs()[0]
    assert changed.label == first.label
    assert changed.hash != first.hash


def test_the_network_without_a_module_is_one_run_whatever_the_sites(grid):
    text = BASE + "  sites: [[conv4], [conv5]]\n"
    none = [run for run in load(grid(text)).runs() if run.mechanism == "none"]
    assert [run.sites for run in none] == [()]
    translation = "task: translation\nproduct: {mechanism: [none], sites: [encoder, decoder]}\n"
    assert len(load(grid(translation)).runs()) == 2  # another network each


def test_a_default_that_is_written_out_changes_nothing(grid):
    first = load(grid(BASE)).runs()[0]
    epochs = first.science["recipe"]["epochs"]
    assert load(grid(BASE + f"recipe: {{epochs: {epochs}}}\n")).runs()[0].id == first.id


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (BASE + "sedes: [1]\n", 4, "unknown key 'sedes'; did you mean 'seeds'?"),
        ("task: detektion\nproduct: {mechanism: [none]}\n", 1, "did you mean 'detection'?"),
        (BASE.replace("0010", "0012"), 3, "unknown mechanism '0012'; did you mean"),
        (BASE.replace("none", "nome"), 3, "did you mean 'none'?"),
        (BASE + "recipe:\n  data: trees\n  epoch: 3\n", 6, "did you mean 'epochs'?"),
        (BASE + "recipe:\n  epochs: many\n", 5, "recipe.epochs: input should be a valid integer"),
        (BASE + "recipe:\n  epochs: true\n", 5, "recipe.epochs: input should be a valid integer"),
        (BASE + "recipe: {flip: true}\n", 4, "recipe.flip: input should be a valid number"),
        (BASE + "recipe: {training_images: true}\n", 4, "training_images: input should be a val"),
        (BASE + "recipe: {image_scale: [9, true]}\n", 4, "image_scale.1: input should be a valid"),
        (BASE + "recipe:\n  accumulate: true\n", 5, "recipe.accumulate: input should be a valid"),
        (
            BASE + "recipe:\n  epochs: 3\n  accumulate: 3\n",
            6,
            "accumulate (3) must divide batch_size (8)",
        ),
        (
            BASE + "recipe:\n  epochs: 3\n  base_channels: 4\n",
            6,
            "heads (8) must not exceed base_channels (4)",
        ),
        (
            BASE + "recipe:\n  epochs: 3\n  heads: 64\n",
            6,
            "heads (64) must not exceed base_channels (16)",
        ),
        (BASE + "  sites: [[conv4, conv6]]\n", 4, "no site 'conv6'; did you mean 'conv"),
        (BASE + "  sites: [[4.0]]\n", 4, "no site '4.0'; valid: conv2"),
        (BASE + "  sites: [1e4]\n", 4, "no site '1e4'"),
        (BASE.replace("0010", "12e5"), 3, "unknown mechanism '12e5'"),
        (BASE.replace("none", "~"), 3, "unknown mechanism '~'"),
        (BASE.replace("0010", "efficient_channel:size=1e999"), 3, "size"),
        (BASE + "recipe: {data: 1.2-boxes}\n", 4, "unknown data set '1.2-boxes'"),
        (BASE + "recipe: {data: 2024-05-01}\n", 4, "unknown data set '2024-05-01'"),
        (BASE + "recipe: {learning_rate: 1e999}\n", 4, "learning_rate: input should be a fin"),
        (BASE + "recipe: {learning_rate: .NaN}\n", 4, "learning_rate: input should be a fin"),
        (BASE + "seeds: [.inf]\n", 4, "seeds.0: input should be a finite number"),
        (BASE + f"seeds: [{'9' * 5000}]\n", 4, "a number of 5000 digits"),
        (BASE + "baseline: 1110\n", 4, "baseline '1110' is not in the grid; did you mean '1111'?"),
        (BASE + "seeds: []\n", 4, "seeds: list should have at least 1 item"),
        (BASE + "seeds: [1, 1]\n", 4, "seeds names one twice: [1, 1]"),
        (BASE + "seeds: [true]\n", 4, "seeds.0: input should be a valid integer"),
        (BASE + "seeds: [-1]\n", 4, "greater than or equal to 0"),
        ("task: detection\nproduct:\n  mechanism: []\n", 3, "at least 1 item"),
        ("task: detection\n", 1, "no mechanism"),
        (BASE + "zip:\n  mechanism: [none]\n", 2, "'mechanism' stands in product and in zip"),
        (
            "task: detection\nzip:\n  mechanism: [none]\n  sites: [conv4, conv5]\n",
            2,
            "lists of zip differ in length",
        ),
        (BASE + "exclude:\n- {}\n", 4, "no run is left after exclude"),
        (BASE + "task: detection\n", 4, "key 'task' is given twice"),
        (BASE + "exclude: [{mechanisms: 1111}]\n", 4, "did you mean 'mechanism'?"),
        ("task: [\n", 2, "not valid YAML"),
        ("name: ../x\n" + BASE, 1, "a grid is named by its file"),
        ("task: &a [*a]\n", 1, "an alias contains itself"),
        ("task: " + "[" * 5000, None, "not a grid"),
        (BASE + "recipe: {data: treees}\n", 4, "unknown data set 'treees'; did you mean 'trees'?"),
        (BASE + "recipe: {data: landcover}\n", 4, "is for segmentation; for detection: coco, d"),
        (BASE + "recipe:\n  image_scale: [256]\n", 5, "recipe.image_scale.1: field required"),
        (BASE + "recipe: {learning_rate: .inf}\n", 4, "finite number"),
        (BASE + "exclude: [{sites: [konv5]}]\n", 4, "no site 'konv5'; did you mean 'conv5'?"),
        (BASE + "exclude:\n- {mechanism: 1000}\n", 5, "excludes nothing in this grid"),
        (
            "task: segmentation\nrecipe: {head_channels: 4}\nproduct:\n  mechanism: [1111]\n",
            4,
            "head_channels (4) must be divisible by heads (8)",
        ),
        ("- a\n", None, "a mapping of keys to values is expected"),
        (
            BASE.replace("0010", "0010@1") + "recipe: {kv_stride: 4}\n",
            3,
            "leaves queries without any key",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_the_nearest_name(grid, text, line, message):
    path = grid(text)
    with pytest.raises(StudyError) as raised:
        load(path)
    told = str(raised.value)
    assert message in told
    assert told.startswith(f"{path}:{line}: " if line else f"{path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + "recipe: {deformable_stages: [conv6]}\n",
            "recipe.deformable_stages.0: input should",
        ),
        (BASE + "recipe: {deformable_stages: []}\n", "recipe.deformable_stages: tuple should have"),
        (BASE + "  sites: [[{}]]\n", "product.sites.0.0: input should be a valid string"),
    ],
)
def test_one_mistake_is_told_once(grid, text, message):
    with pytest.raises(StudyError) as raised:
        load(grid(text))
    (line,) = str(raised.value).splitlines()
    assert f"grid.yaml:4: {message}" in line


def test_truth_is_no_number_and_numbers_may_be_written_in_many_ways(grid):
    text = BASE + "recipe: {channels_last: true, compile: false, epochs: 1e1, heads: 1_0}\n"
    recipe = load(grid(text)).runs()[0].science["recipe"]
    assert (recipe["channels_last"], recipe["epochs"], recipe["heads"]) == (True, 10, 10)
    assert "compile" not in recipe


def test_every_mistake_is_told_at_once(grid):
    with pytest.raises(StudyError) as raised:
        load(grid("task: detection\nproduct:\n  mechanism: [nome, 1112]\nseed: 3\n"))
    assert len(str(raised.value).splitlines()) == 3


def test_mistakes_in_every_part_are_told_in_one_go(grid):
    text = """
    task: detection
    sedes: [1]
    recipe: {data: treees, epoch: 3}
    product: {mechanism: [nome, 1111], sites: [[conv6], conv4]}
    exclude: [{sites: konv5}]
    baseline: 0012
    """
    with pytest.raises(StudyError) as raised:
        load(grid(textwrap.dedent(text)))
    told = str(raised.value)
    for word in ("sedes", "treees", "recipe.epoch", "nome", "conv6", "konv5", "0012"):
        assert told.count(f"'{word}'") == 1
    assert len(told.splitlines()) == 7


def test_combinations_that_do_not_fit_are_told_together(grid):
    text = BASE.replace("0010", "0010@1") + "recipe: {kv_stride: 4}\nbaseline: 1000\n"
    with pytest.raises(StudyError) as raised:
        load(grid(text))
    told = str(raised.value).splitlines()
    assert len(told) == 2
    assert "leaves queries without any key" in told[0]
    assert "'1000' is not in the grid" in told[1]


def test_a_folder_stands_for_its_grids(grid, tmp_path):
    files = [grid(BASE, "grids/b.yaml"), grid(BASE, "grids/a/c.yaml")]
    assert find([tmp_path / "grids"]) == sorted(files)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StudyError, match="no grid file"):
        find([empty])
    with pytest.raises(StudyError, match="no such file"):
        load(tmp_path / "absent.yaml")


def test_a_run_folder_refuses_another_configuration(grid, tmp_path):
    run = load(grid(BASE)).runs()[0]
    folder = open_folder(run, tmp_path / "runs")
    assert open_folder(run, tmp_path / "runs").path == folder.path
    record = folder.path / "run.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 9'))
    with pytest.raises(StudyError, match="seed: 9 -> 0"):
        open_folder(run, tmp_path / "runs")


def test_differences_name_the_leaf():
    old = {"a": 1, "recipe": {"x": 1, "y": 2}}
    new = {"a": 1, "recipe": {"x": 3, "z": 2}}
    assert differences(old, new) == [
        "recipe.x: 1 -> 3",
        "recipe.y: 2 -> (absent)",
        "recipe.z: (absent) -> 2",
    ]


def test_sites_may_be_paths_of_modules_in_one_order(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "task: detection\n"
        "product:\n"
        "  mechanism: [none, 0010]\n"
        "  sites: [[conv4, 'before:layer3.*.conv3', 'after:layer2']]\n"
    )
    none, run = load(path).runs()
    assert none.sites == ()
    assert run.sites == ("conv4", "after:layer2", "before:layer3.*.conv3")
    assert "*" not in run.id
    path.write_text(path.read_text().replace("before:", "beside:"))
    with pytest.raises(StudyError, match=r"grid.yaml:4: detection has no site 'beside:layer3"):
        load(path)


def test_what_a_mechanism_does_not_use_renames_no_run(tmp_path):
    def runs(text):
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return {run.mechanism: run for run in load(path).runs()}

    grid = "task: segmentation\nrecipe: {heads: 8}\nproduct: {mechanism: [none, gate, 1111]}\n"
    with installed(gate=Gate):
        eight, four = runs(grid), runs(grid.replace("heads: 8", "heads: 4"))
        coarse = runs(grid.replace("heads: 8", "kv_stride: 4"))
    assert eight["gate"].id == four["gate"].id == coarse["gate"].id
    assert eight["gate"].science["unused"] == ["heads", "kv_stride"]
    for word in ("none", "1111"):
        assert len({each[word].id for each in (eight, four, coarse)}) == 3
        assert "unused" not in eight[word].science


def test_a_version_renames_the_runs_of_its_mechanism_alone(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("task: segmentation\nproduct: {mechanism: [none, gate, 1111]}\n")
    with installed(gate=Gate):
        before = {run.mechanism: run for run in load(path).runs()}
    with installed(gate=type("Gate", (Gate,), {"version": 2, "__module__": Gate.__module__})):
        after = {run.mechanism: run for run in load(path).runs()}
    assert before["gate"].id != after["gate"].id
    assert after["gate"].science["mechanisms"] == {"gate": 2}
    assert [before[word].id for word in ("none", "1111")] == [
        after[word].id for word in ("none", "1111")
    ]
