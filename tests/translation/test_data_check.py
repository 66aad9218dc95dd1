"""What fairseq loads is compared with the text of BLEU, whoever made the set."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pairs import binarise_here, edit, lines, own_files, perfect_bleu, write

from plugins.contracts.dataset import PrepareError
from plugins.translation.data import indexed
from plugins.translation.data.bleu import bleu_of
from plugins.translation.data.check import check
from plugins.translation.data.subwords import learn
from study import data

PAIR = ("en", "fr")


def packaged(copy, out):
    """Write a set as a package of somebody's does, which reads what is given as it is."""
    out.mkdir(exist_ok=True)
    subwords = learn(
        lines(copy / "train.en") + lines(copy / "train.fr"), out, 4000, hard_vocab_limit=False
    )
    for file in copy.iterdir():
        shutil.copy(file, out)
        encoded = [" ".join(subwords.encode(line, out_type=str)) for line in lines(file)]
        split, language = file.name.split(".")
        write(out / f"{split}.spm.{language}", encoded)
    binarise_here(out, PAIR, ("train", "valid", "test"))
    return out


@pytest.fixture
def copy(tmp_path):
    return own_files(tmp_path / "copy")


def found(folder):
    return check(folder, True, lambda doing: None)


def test_a_package_reaches_a_perfect_bleu(copy, tmp_path):
    out = packaged(copy, tmp_path / "out")
    assert found(out).notes == ()
    assert perfect_bleu(out, tmp_path / "run", "test") == pytest.approx(100, abs=1e-9)


@pytest.mark.data
def test_the_embedded_set_reaches_all_that_its_unknown_characters_leave(tmp_path):
    data.prepare(["software-en-de"])
    folder = data.path("software-en-de")
    reached = perfect_bleu(folder, tmp_path / "run", "test", tokens_per_batch=4096)
    assert 99.9 < reached < 100
    valid, test = found(folder).notes
    assert "of 1000 references have units that the dictionary has not" in valid
    assert test.startswith(f"a perfect model has a BLEU of {reached:.2f} on test: ")


def test_fairseqs_data_are_read_as_fairseq_reads_them(copy, tmp_path):
    from fairseq.data import Dictionary, data_utils

    out = packaged(copy, tmp_path / "out")
    assert indexed.languages(out) == PAIR
    for split in ("train", "valid", "test"):
        for language, side in zip(PAIR, indexed.split(out, split, PAIR), strict=True):
            words = Dictionary.load(str(out / "bin" / f"dict.{language}.txt"))
            prefix = out / "bin" / f"{split}.en-fr.{language}"
            theirs = data_utils.load_indexed_dataset(str(prefix), words)
            assert words.symbols == indexed.words(out, language)
            assert side.sizes.tolist() == theirs.sizes.tolist()
            for index in range(len(theirs)):
                np.testing.assert_array_equal(side[index], theirs[index].numpy())


REFUSED = {
    "another reference": (
        lambda out: edit(out / "valid.fr", 5, lambda line: "un deux trois quatre"),
        r"valid\.fr, line 5 is not what the binary data have: 'un deux trois quatre', and there",
    ),
    "a reference more": (
        lambda out: write(out / "test.fr", [*lines(out / "test.fr"), "un"]),
        r"test\.fr has 9 lines, the binary data of test 8 sentences",
    ),
    "no reference": (lambda out: (out / "valid.fr").unlink(), r"valid\.fr is missing: the text"),
    "no model": (lambda out: (out / "spm.model").unlink(), "has no spm.model; one model"),
    "another model": (
        lambda out: learn(["dieu un deux zz zero ze"] * 5, out, 40, hard_vocab_limit=False),
        "the model of sentencepiece is not the one that valid was written with",
    ),
    "no model of sentencepiece": (
        lambda out: (out / "spm.model").write_bytes(b"model"),
        r"spm\.model is no model of sentencepiece",
    ),
    "a cut file": (
        lambda out: (out / "bin/train.en-fr.fr.bin").write_bytes(b"ab"),
        r"train\.en-fr\.fr\.bin has fewer words than .*idx says",
    ),
    "a cut index": (
        lambda out: (out / "bin/valid.en-fr.fr.idx").write_bytes(
            (out / "bin/valid.en-fr.fr.idx").read_bytes()[:40]
        ),
        r"valid\.en-fr\.fr\.idx is cut or damaged",
    ),
    "another kind of index": (
        lambda out: (out / "bin/valid.en-fr.fr.idx").write_bytes(b"TNTIDX" * 9),
        r"is no index of fairseq's kind mmap",
    ),
    "a side of valid is missing": (
        lambda out: (out / "bin/valid.en-fr.fr.idx").unlink(),
        r"valid\.en-fr\.fr\.idx is missing; the other side is there",
    ),
    "no valid": (
        lambda out: [path.unlink() for path in (out / "bin").glob("valid*")],
        "has no split valid",
    ),
    "no data": (lambda out: shutil.rmtree(out / "bin"), r"has no train\.SOURCE-TARGET\.SOURCE"),
    "two pairs of languages": (
        lambda out: shutil.copy(
            out / "bin/train.en-fr.en.idx", out / "bin/train.en-de.en.idx"
        ),
        "has the pairs en-de, en-fr; one pair",
    ),
    "a smaller dictionary": (
        lambda out: write(
            out / "bin/dict.fr.txt", lines(out / "bin/dict.fr.txt")[:3]
        ),
        "the binary data were written with another dictionary",
    ),
    "another text of train": (
        lambda out: edit(out / "train.en", 3, lambda line: "one one"),
        r"pair 3 of train, .* is no pair of lines of .*train\.en and .*train\.fr",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_together_is_named(fault, copy, tmp_path):
    spoil, message = REFUSED[fault]
    out = packaged(copy, tmp_path / "out")
    spoil(out)
    with pytest.raises(PrepareError, match=message):
        found(out)


UNREADABLE = {
    "an empty reference": ("valid.fr", 3, "", r"valid\.fr, line 3 is empty"),
    "an empty source": ("test.en", 2, "", r"test\.en, line 2 is empty"),
    "a long source": ("valid.en", 4, "two " * 1100, r"valid\.en, line 4 has \d+ units; a model"),
    "a long reference": ("test.fr", 1, "two " * 1100, r"test\.fr, line 1 has \d+ units; a model"),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_sentence_that_cannot_be_measured_on_is_named(fault, copy, tmp_path):
    name, number, line, message = UNREADABLE[fault]
    edit(copy / name, number, lambda _: line)
    out = packaged(copy, tmp_path / "out")
    with pytest.raises(PrepareError, match=message):
        found(out)


def test_lone_carriage_returns_that_shift_a_packages_pairs_are_refused(copy, tmp_path):
    """fairseq breaks lines there: as many on both sides, but of other pairs in between."""
    edit(copy / "train.en", 10, lambda line: line.replace(" ", "\r", 1))
    edit(copy / "train.fr", 60, lambda line: line.replace(" ", "\r", 1))
    out = packaged(copy, tmp_path / "out")
    assert len(indexed.split(out, "train", PAIR)[0]) == 121
    with pytest.raises(PrepareError, match=r"pair \d+ of train, .* is no pair of lines of"):
        found(out)


def test_what_training_leaves_out_is_counted_as_fairseq_does(copy, tmp_path):
    from fairseq.data import data_utils

    for number, words in enumerate((1010, 1011, 1022, 1023, 1024, 1500), 1):
        edit(copy / "train.en", number, lambda _, words=words: " ".join(["two"] * words))
    edit(copy / "train.fr", 90, lambda _: "")
    out = packaged(copy, tmp_path / "out")
    sizes = [side.sizes for side in indexed.split(out, "train", PAIR)]
    _, ignored = data_utils.filter_paired_dataset_indices_by_size(
        *sizes, np.arange(120), (1024, 1024)
    )
    checked = found(out)
    assert checked.counts["too_long"] == len(ignored) > 1
    assert checked.notes == (
        f"{len(ignored)} of 120 training pairs are longer than 1024 units and are left out of "
        "training",
        "1 of 120 training pairs have an empty side",
    )


@pytest.mark.parametrize(
    ("language", "tokens"),
    [("de", "13a"), ("fr_CA", "13a"), ("zh", "zh"), ("zh-CN", "zh"), ("cmn", "zh"), ("th", "char")],
)
def test_bleu_counts_words_of_the_language(language, tokens):
    assert bleu_of(language).tokenizer_signature == tokens


@pytest.mark.parametrize("language", ["ja", "jpn", "ko"])
def test_a_language_whose_words_cannot_be_found_here_is_refused(language):
    with pytest.raises(ValueError, match=rf"target language {language} .*pip install 'sacrebleu\["):
        bleu_of(language)
