"""What cannot be measured fails with its reason, also on sets that were prepared long ago."""

from __future__ import annotations

import pytest
import small_translation as small
from pairs import binarise_here, edit, lines, own_files, write

from plugins.translation.data.subwords import learn
from plugins.translation.evaluation import EXTRA_LENGTH, UNTRAINED_LENGTH, Evaluation
from plugins.translation.train import build, train

PAIR = ("en", "fr")


def set_of(copy, out):
    """Write what fairseq loads, without any check."""
    out.mkdir()
    text = [line for language in PAIR for line in lines(copy / f"train.{language}")]
    subwords = learn(text, out, 400, hard_vocab_limit=False)
    for file in copy.iterdir():
        split, language = file.name.split(".")
        write(out / file.name, lines(file))
        encoded = [" ".join(subwords.encode(line, out_type=str)) for line in lines(file)]
        write(out / f"{split}.spm.{language}", encoded)
    binarise_here(out, PAIR, sorted({file.name.split(".")[0] for file in copy.iterdir()}))
    return out


@pytest.fixture
def copy(tmp_path):
    return own_files(tmp_path / "copy", {"train": 40, "valid": 6})


def evaluation(data, folder, **recipe):
    job = small.job(folder, data, **recipe)
    configuration, task, model = build(job)
    criterion = task.build_criterion(configuration.criterion)
    return Evaluation(task, job.recipe, data), model, criterion


def test_a_perplexity_that_is_no_number_ends_the_run(copy, tmp_path):
    found, model, criterion = evaluation(set_of(copy, tmp_path / "out"), tmp_path / "run")
    model.decoder.embed_tokens.weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="the perplexity of valid is nan"):
        found.perplexity(model, criterion)


def test_a_sentence_longer_than_the_model_reads_is_named(copy, tmp_path):
    edit(copy / "valid.en", 5, lambda line: "two " * 1100)
    with pytest.raises(ValueError, match=r"valid\.fr, line 5: .* has 1\d\d\d units.* 1023 at most"):
        evaluation(set_of(copy, tmp_path / "out"), tmp_path / "run")


def test_a_split_that_the_set_has_not_is_named(copy, tmp_path):
    with pytest.raises(ValueError, match="has no split test; evaluation_split: valid"):
        evaluation(set_of(copy, tmp_path / "out"), tmp_path / "run", evaluation_split="test")


def test_references_of_fewer_than_four_words_give_no_number(copy, tmp_path):
    for language in PAIR:
        write(copy / f"valid.{language}", ["six six"] * 6)
    with pytest.raises(ValueError, match="no reference has four words"):
        evaluation(set_of(copy, tmp_path / "out"), tmp_path / "run")


def test_batches_that_no_pair_fits_into_are_told_before_training(copy, tmp_path):
    job = small.job(tmp_path / "run", set_of(copy, tmp_path / "out"), tokens_per_batch=2)
    with pytest.raises(
        ValueError, match=r"none of 40 training pairs fits into .*tokens_per_batch: 2"
    ):
        train(job)


def test_how_bleu_was_measured_is_recorded(copy, tmp_path):
    job = small.job(tmp_path / "run", set_of(copy, tmp_path / "out"), epochs=1)
    train(job)
    assert (job.folder / "train.log").read_text().count("|tok:13a|") == 2  # before and at the end


def test_a_translation_that_does_not_end_is_cut_and_sooner_before_training(
    copy, tmp_path, monkeypatch
):
    found, model, _ = evaluation(set_of(copy, tmp_path / "out"), tmp_path / "run")
    weight = model.decoder.embed_tokens.weight.data
    weight[found.task.target_dictionary.eos()] = 0  # never the likeliest of thousands
    lengths = []
    inference = found.task.inference_step

    def seen(generator, models, sample):
        hypotheses = inference(generator, models, sample)
        source = sample["net_input"]["src_tokens"].shape[1]
        lengths.extend(len(each[0]["tokens"]) - source for each in hypotheses)
        return hypotheses

    monkeypatch.setattr(found.task, "inference_step", seen)
    for extra in (EXTRA_LENGTH, UNTRAINED_LENGTH):
        lengths.clear()
        found.bleu(model, extra)
        assert {*lengths} == {extra + 1}  # the end itself


def test_only_the_untrained_network_is_cut_so_soon(copy, tmp_path, monkeypatch):
    extras = []
    bleu = Evaluation.bleu

    def counted(self, model, extra=EXTRA_LENGTH):
        extras.append(extra)
        return bleu(self, model, extra)

    monkeypatch.setattr(Evaluation, "bleu", counted)
    train(small.job(tmp_path / "run", set_of(copy, tmp_path / "out"), epochs=1))
    assert extras == [UNTRAINED_LENGTH, EXTRA_LENGTH]
