"""Other test items, other seeds and both: against formulas, sacrebleu, and planted variances."""

from __future__ import annotations

import itertools
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from counted import Mean, Ratio, coverage, covered, kept, planted, rejecting, spread_of
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats
from worlds import world

from analysis.runs.items import SAMPLES, samples
from analysis.stats.items import components
from plugins.contracts.items import CountsItems
from study.errors import StudyError

NOISE = 3 / math.sqrt(2 * SAMPLES)  # three standard errors of a standard deviation over samples


def pair(mine, other, task=None, seeds=1):
    """The spread of two mechanisms whose runs of one seed kept these items."""
    frame = world({"none": 0.0, "1111": 0.0}, seeds=seeds)
    task = task or Mean()
    everything = [*other, *mine] if seeds > 1 else [other, mine]
    folders = {
        name: each if isinstance(each, SimpleNamespace) else kept(each)
        for name, each in zip(frame["id"], everything, strict=True)
    }
    for place, name in zip(frame.index, frame["id"], strict=True):
        items = folders[name].items
        ones = np.ones((1, len(items["item"])), dtype=int)
        frame.loc[place, "value"] = task.value_of_items(items, ones)[0]
    return spread_of(frame, folders, "none", task)


def width(row, whose):
    return (row[f"{whose}_high"] - row[f"{whose}_low"]) / 2


def last(spread):
    return spread.rows.set_index("mechanism").loc["1111"]


def test_samples_have_as_many_items_as_the_test_set_and_begin_with_it():
    drawn = samples(50)
    assert drawn.shape == (1 + SAMPLES, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert (drawn[0] == 1).all()
    assert (drawn >= 0).all()


@pytest.mark.parametrize("count", [12, 300])
def test_over_items_the_interval_of_a_mean_is_that_of_the_paired_t_test(count):
    rng = np.random.default_rng(count)
    mine, other = rng.normal(0.15, 1, count), rng.normal(0, 1, count)
    row = last(pair(mine, other))
    test = stats.ttest_rel(mine, other)
    low, high = test.confidence_interval()
    assert row["difference"] == pytest.approx(np.mean(mine - other))
    assert width(row, "items") == pytest.approx((high - low) / 2, rel=NOISE)
    assert math.isnan(row["seeds_low"])  # one seed
    assert math.isnan(row["both_low"])
    assert row["p"] == pytest.approx(test.pvalue, rel=0.2)


def test_of_a_metric_of_the_whole_set_the_interval_is_that_of_the_delta_method():
    rng = np.random.default_rng(2)
    count = 400
    whole = rng.integers(20, 60, count).astype(float)
    runs = []
    for rate in (0.5, 0.55):
        part = rng.binomial(whole.astype(int), rate).astype(float)
        runs.append(kept(part, part=part, whole=whole))
    other, mine = runs
    row = last(pair(mine, other, Ratio()))
    # Linearised: the ratio moves by (part - ratio * whole) / sum of wholes with each item.
    moved = [
        (run.items["part"] - run.items["part"].sum() / whole.sum() * whole) / whole.sum()
        for run in (mine, other)
    ]
    error = np.std(moved[0] - moved[1], ddof=1) * math.sqrt(count)
    reach = stats.t.ppf(0.975, count - 1) * error
    assert width(row, "items") == pytest.approx(reach, rel=NOISE)


class Bleu(CountsItems):
    """BLEU from the statistics that sacrebleu has of a sentence."""

    def value_of_items(self, items, weights):
        return np.array(
            [
                BLEU.compute_bleu(
                    correct=[*map(int, row[2:6])],
                    total=[*map(int, row[6:])],
                    sys_len=int(row[0]),
                    ref_len=int(row[1]),
                    smooth_method="exp",
                ).score
                for row in weights @ items["value"]
            ]
        )


WORDS = [*"abcdefghijklmno"]


def sentences(rng, references, share):
    """Translations that have each word of the reference right with a chance of 1 - share."""
    return [
        " ".join(w if rng.random() > share else str(rng.choice(WORDS)) for w in line.split())
        for line in references
    ]


def bleu_of_two(better, seed, kind):
    """Our spread of two systems, and what sacrebleu's paired test says of them."""
    rng = np.random.default_rng(seed)
    references = [" ".join(rng.choice(WORDS, 12)) for _ in range(300)]
    systems = {
        "none": sentences(rng, references, 0.3),
        "1111": sentences(rng, references, better),
    }
    metric = BLEU(tokenize="none", force=True)
    test = PairedTest([*systems.items()], {"BLEU": metric}, [references], kind, n_samples=2000)
    mine, other = (
        np.array(metric._extract_corpus_statistics(systems[name], [references]), dtype=float)
        for name in ("1111", "none")
    )
    return pair(mine, other, Bleu()), test()[1]["BLEU"]


@pytest.mark.parametrize(("better", "seed"), [(0.30, 0), (0.285, 1), (0.25, 2)])
def test_p_of_bleu_is_that_of_sacrebleus_approximate_randomisation(better, seed):
    spread, theirs = bleu_of_two(better, seed, "ar")
    assert spread.rows["mean"].tolist() == pytest.approx([each.score for each in theirs])
    assert last(spread)["p"] == pytest.approx(theirs[1].p_value, abs=0.03)


@pytest.mark.parametrize(("better", "seed"), [(0.30, 0), (0.285, 1)])
def test_sacrebleus_paired_bootstrap_has_less_than_half_of_that_p(better, seed):
    spread, theirs = bleu_of_two(better, seed, "bs")
    assert theirs[1].p_value < last(spread)["p"] / 2


def test_equal_trainings_do_not_differ_on_any_test_set():
    values = np.random.default_rng(0).random(40)
    row = last(pair([values, values], [values, values], seeds=2))
    assert row["difference"] == 0
    assert width(row, "items") == width(row, "both") == 0
    assert row["p"] == 1


def test_planted_variances_are_found_again():
    """Means over many worlds: each is known from few seeds."""
    truth = {"luck": 0.8, "items": 1.5, "mixed": 0.6}
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        frame, folders, *_ = planted({"none": 20.0, "1111": 21.0}, rng, seeds=5, count=60, **truth)
        found.append(spread_of(frame, folders, "none").split ** 2)
    value, difference = np.mean(found, axis=0)
    variances = np.array([truth[name] ** 2 for name in ("luck", "items", "mixed")])
    np.testing.assert_allclose(value, variances, rtol=0.15)
    np.testing.assert_allclose(difference, 2 * variances, rtol=0.2)


def test_without_seed_by_item_nothing_is_found_of_it():
    rng = np.random.default_rng(0)
    values = rng.random((4, 1)) + rng.random(50)
    draws = values @ samples(50)[1:].T / 50
    seeds, items, mixed = components(values.mean(axis=1), draws, 50)
    assert mixed == pytest.approx(0, abs=1e-12)
    assert seeds == pytest.approx(values.mean(axis=1).var(ddof=1))
    assert items == pytest.approx(values[0].var(ddof=1) / 50, rel=2 * NOISE)


def test_what_seeds_make_is_what_the_model_sees():
    """Seeds with their part of items: twice the residual variance, in a table without gaps."""
    means = dict.fromkeys(("none", "1111", "0010", "0001"), 20.0)
    rng = np.random.default_rng(4)
    frame, folders, *_ = planted(means, rng, seeds=4, count=80, items=1, luck=2, mixed=0.3)
    spread = spread_of(frame, folders, "none")
    seeds, _, mixed = spread.split.loc["difference"]
    assert seeds**2 + mixed**2 == pytest.approx(2 * spread.group.model.sd**2)
    row = last(spread)
    low, high = spread.group.difference("1111", "none").interval(0.95)
    assert (row["seeds_low"], row["seeds_high"]) == pytest.approx((low, high))


def test_an_interval_over_both_is_no_narrower_than_either():
    rng = np.random.default_rng(5)
    for items, luck in itertools.product((0.0, 1.0), (0.0, 1.0)):
        frame, folders, *_ = planted(
            {"none": 20.0, "1111": 20.0}, rng, seeds=2, count=50, items=items, luck=luck, mixed=0.1
        )
        row = last(spread_of(frame, folders, "none"))
        assert width(row, "both") >= max(width(row, "items"), width(row, "seeds"))


@pytest.mark.parametrize("seeds", [2, 3])
def test_intervals_have_the_truth_in_them_in_95_of_100_worlds(seeds):
    count = 100
    found = coverage(("none", "1111", "0010"), seeds, 100, count, luck=0.5)
    least = 0.95 - 3 * math.sqrt(0.05 * 0.95 / count)
    for whose in ("items", "seeds", "both"):
        assert found[whose] >= least, whose
    # The scatter of seeds on one test set says nothing of another test set.
    assert found["seeds for both"] < 0.95


def test_resampled_seeds_would_refute_the_truth():
    """Of two seeds whenever both differences have the same sign: a half of all studies."""
    assert rejecting(2, 400, paired=True) == pytest.approx(0.5, abs=0.08)
    assert rejecting(5, 400, paired=True) > 0.1
    assert rejecting(5, 400, paired=False) > 0.08


def test_seeds_that_one_lacks_are_adjusted_for_as_in_tables():
    means = {"none": 20.0, "1111": 21.0, "0010": 20.5}
    rng = np.random.default_rng(6)
    frame, folders, *_ = planted(means, rng, seeds=3, count=50, items=1, luck=1)
    frame = frame.drop(index=frame.index[5])
    spread = spread_of(frame, folders, "none")
    row = last(spread)
    assert row["difference"] == spread.group.difference("1111", "none").effect
    assert row["pairs"] == 2
    assert covered(row, "items", row["difference"])


@pytest.fixture
def frame_and_folders():
    rng = np.random.default_rng(7)
    frame, folders, *_ = planted({"none": 20.0, "1111": 21.0}, rng, seeds=3, count=30, items=1)
    return frame, folders


def remark(spread):
    (found,) = spread.sampled.remarks
    return found


def test_a_run_that_kept_no_items_is_named_and_left_out(frame_and_folders):
    frame, folders = frame_and_folders
    folders["1111-s1"].items = None
    spread = spread_of(frame, folders, "none")
    assert remark(spread).startswith("left out: 1111 seed 1: kept no items.npz")
    assert "train it anew" in remark(spread)
    assert len(spread.sampled.draws) == 5


def test_without_any_items_the_way_to_have_them_is_told(frame_and_folders):
    frame, folders = frame_and_folders
    for folder in folders.values():
        folder.items = None
    with pytest.raises(StudyError, match=r"all 6 runs: kept no items\.npz, .* train it anew"):
        spread_of(frame, folders, "none")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda items: items | {"item": items["item"][::-1]}, "are not those of most runs, or in"),
        (lambda items: {"item": np.arange(60), "value": np.tile(items["value"], 2)}, "60 test it"),
        (lambda items: items | {"value": items["value"] + 1}, "the result is .* another evaluat"),
        (lambda items: {"item": items["item"]}, r"is not what the task keeps \('value'\)"),
        (lambda items: items | {"value": items["value"][:4]}, "is not what the task keeps"),
    ],
)
def test_items_of_another_test_set_are_never_paired(frame_and_folders, change, why):
    frame, folders = frame_and_folders
    folders["none-s2"].items = change(folders["none-s2"].items)
    spread = spread_of(frame, folders, "none")
    assert remark(spread).startswith("left out: none seed 2: ")
    assert re.search(why, remark(spread))
    assert "none-s2" not in {*spread.sampled.runs["id"]}


def test_runs_of_another_content_of_the_data_are_never_paired(frame_and_folders):
    frame, folders = frame_and_folders
    frame["data_content"] = ["b", *"aaaaa"]
    spread = spread_of(frame, folders, "none")
    assert remark(spread) == (
        "left out: none seed 0: another content of the data set (b instead of a)"
    )


def test_samples_without_anything_to_measure_are_left_out_and_counted(frame_and_folders):
    frame, folders = frame_and_folders

    class Sparse(Mean):
        def value_of_items(self, items, weights):
            return np.where(weights[:, 0] > 0, super().value_of_items(items, weights), np.nan)

    spread = spread_of(frame, folders, "none", Sparse())
    lacking = int((samples(30)[:, 0] == 0).sum())
    assert remark(spread) == f"{lacking} of 1000 samples had nothing to measure, and are left out"
    assert not math.isnan(last(spread)["items_low"])


def test_one_test_item_tells_nothing_of_others():
    frame, folders, *_ = planted({"none": 1.0}, np.random.default_rng(0), seeds=2, count=1)
    with pytest.raises(StudyError, match="1 test items: too few"):
        spread_of(frame, folders, "none")
