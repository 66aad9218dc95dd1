"""A user's own sentences: what is accepted is trained on and measured right, the rest refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import (
    SIZES,
    binarise_here,
    binarised,
    edit,
    lines,
    own_files,
    perfect_bleu,
    write,
)

from plugins.contracts.dataset import PrepareError
from plugins.translation.data import sentences
from plugins.translation.data.check import check
from plugins.translation.data.sentences import Sentences, SentencesOptions
from plugins.translation.data.text import tidy

PAIR = ("en", "fr")


@pytest.fixture(scope="module", autouse=True)
def _fast():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sentences, "binarise", binarise_here)
        yield


def taken(copy, out, **options):
    """Take a folder in; the door's counts, and what the check finds."""
    out.mkdir()
    counts = Sentences().prepare(copy, out, SentencesOptions(**options), lambda doing: None)
    return counts, check(out, True, lambda doing: None)


def same_file(copy):
    """Leave the files as they are."""


def crlf(copy):
    for file in copy.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


def mark(copy):
    for file in copy.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def every(character):
    def spoil(copy):
        for split, size in SIZES.items():
            for offset, language in enumerate(PAIR):
                for number in range(1 + offset, size + 1, 3):
                    edit(
                        copy / f"{split}.{language}",
                        number,
                        lambda line: line.replace(" ", f" {character}", 1) + character,
                    )

    return spoil


def no_last_feed(copy):
    for file in copy.iterdir():
        file.write_bytes(file.read_bytes().removesuffix(b"\n"))


def empty_sides(copy):
    edit(copy / "train.en", 3, lambda line: "")
    edit(copy / "train.fr", 5, lambda line: " \u00a0\u00ad")


ACCEPTED = {
    "as it is": (same_file, ""),
    "CR LF": (crlf, "lines had a carriage return at the end, which was taken away"),
    "byte order marks": (
        mark,
        "6 lines had a byte order mark, which was taken away (the first: tr",
    ),
    "lone CR": (every("\r"), "had a separator within them that other programs take for the end"),
    "U+2028": (every("\u2028"), "had a separator within them"),
    "U+0085": (every("\x85"), "had a separator within them"),
    "vertical tab": (every("\x0b"), "had a separator within them"),
    "form feed": (every("\x0c"), "had a separator within them"),
    "file separator": (every("\x1c"), "had a separator within them"),
    "no-break space": (every("\u00a0"), "had other white space than single spaces"),
    "tab": (every("\t"), "had other white space than single spaces"),
    "ideographic space": (every("\u3000"), "had other white space than single spaces"),
    "soft hyphen": (every("\u00ad"), "had invisible characters"),
    "sentencepiece's sign": (every("\u2581"), "had the sign ▁"),
    "no line feed at the end": (no_last_feed, ""),
    "empty sides of train": (empty_sides, "2 training pairs have an empty side and are left out"),
}


@pytest.mark.parametrize("fault", ACCEPTED)
def test_what_is_accepted_is_told_and_keeps_pairs_and_a_perfect_bleu(fault, tmp_path):
    spoil, told = ACCEPTED[fault]
    copy, out = own_files(tmp_path / "copy"), tmp_path / "out"
    spoil(copy)
    counts, checked = taken(copy, out, languages="en-fr")
    if told:
        assert any(told in note for note in counts["notes"])
    else:
        assert len(counts["notes"]) == 1  # of the units
    for split in SIZES:
        sides = (map(_by_hand, lines_of(copy / f"{split}.{x}")) for x in PAIR)
        expected = [pair for pair in zip(*sides, strict=True) if all(pair)]
        assert binarised(out, split, PAIR) == expected
        assert counts["items"][split] == len(expected)
    assert perfect_bleu(out, tmp_path / "run") == pytest.approx(100, abs=1e-9)
    assert checked.notes == ()


def lines_of(file):
    """Lines of a file, whether or not the last has an end."""
    return file.read_bytes().decode().removesuffix("\n").split("\n")


def _by_hand(line):
    kept = line.replace("\u2581", " ").replace("\ufeff", "").replace("\u00ad", "")
    return " ".join(kept.split())


def latin_1(copy):
    text = (copy / "train.fr").read_text("utf-8").replace("é", "e")
    edited = text.split("\n")
    edited[6] = "deux zéro"
    (copy / "train.fr").write_bytes("\n".join(edited).encode("latin-1"))


def utf_16(copy):
    (copy / "valid.en").write_bytes((copy / "valid.en").read_text().encode("utf-16"))


def utf_16_without_mark(copy):
    for language in PAIR:
        write(copy / f"valid.{language}", ["one two three four"] * 12)
    text = (copy / "valid.en").read_text()
    (copy / "valid.en").write_bytes(text.encode("utf-16-le"))
    write(copy / "valid.fr", ["un"] * (text.count("\n") + 1))


def cut(copy):
    write(copy / "train.fr", lines(copy / "train.fr")[:-1])


def emptied(*names):
    def spoil(copy):
        for name in names:
            (copy / name).write_bytes(b"")

    return spoil


def blank(name):
    return lambda copy: edit(copy / name, 4, lambda line: "\u00a0\t")


def long_line(name):
    return lambda copy: edit(copy / name, 7, lambda line: "two " * 1100)


def words_only(copy):
    for language in PAIR:
        write(copy / f"valid.{language}", ["two"] * 12)


def removed(*names):
    return lambda copy: [(copy / name).unlink() for name in names]


def third(copy):
    write(copy / "train.de", ["null"] * 120)


def both_names(copy):
    for language in PAIR:
        write(copy / f"dev.{language}", ["two six two six"] * 5)


REFUSED = {
    "Latin-1": (latin_1, {}, r"train\.fr is not in UTF-8: line 7, byte 7 is 0xe9.*iconv -f LATIN1"),
    "UTF-16": (utf_16, {}, r"valid\.en is not in UTF-8: line 1, byte 1 is 0xff.*iconv -f UTF-16"),
    "UTF-16 without a mark": (
        utf_16_without_mark, {}, r"valid\.en, line 1 has a zero byte.*UTF-16"
    ),
    "other numbers of lines": (
        cut, {}, r"lines are no pairs: .*train\.en 120 and .*train\.fr 119 lines"
    ),
    "empty training files": (emptied("train.en", "train.fr"), {}, "train has no pair with two"),
    "empty valid files": (
        emptied("valid.en", "valid.fr"), {}, r"valid\.en and .*valid\.fr are empty"
    ),
    "one empty file": (emptied("valid.fr"), {}, r"valid\.en 12 and .*valid\.fr 0 lines"),
    "an empty source of valid": (blank("valid.en"), {}, r"valid\.en, line 4 is empty"),
    "an empty reference of test": (blank("test.fr"), {}, r"test\.fr, line 4 is empty"),
    "a long source of valid": (
        long_line("valid.en"), {}, r"valid\.en, line 7 has 11\d\d units; a model reads 1023 at most"
    ),
    "a long reference of test": (
        long_line("test.fr"), {}, r"test\.fr, line 7 has \d+ units; a model reads 1023 at most"
    ),
    "no four words": (words_only, {}, "no reference has four words: it would be 0 for perfect"),
    "one side": (removed("train.fr"), {}, r"has train\.en; a folder with train\.SOURCE"),
    "no train": (removed("train.en", "train.fr"), {}, r"has no train\.LANGUAGE; a folder"),
    "one side of valid": (removed("valid.fr"), {}, r"valid\.fr is missing"),
    "three languages": (
        third, {}, r"has train\.de, train\.en, train\.fr; say which two: -o languages=SOURCE-TARGET"
    ),
    "another language": (same_file, {"languages": "en-de"}, r"train\.de is missing"),
    "two names": (both_names, {}, r"has both valid\.\* and dev\.\*; keep one"),
    "too few units": (
        same_file, {"units": "10"}, "10 units are too few: .* so many different characters that"
    ),
    "all of train too long": (
        same_file, {"max_units": "1"}, "each pair of train has more than 1 units a side"
    ),
    "too little to hold out": (
        lambda copy: [
            *removed("valid.en", "valid.fr")(copy),
            *(write(copy / f"train.{x}", ["two six"] * 9) for x in PAIR),
        ],
        {},
        r"train has 1 different sources, too few to hold out valid; give valid\.\* files",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_is_named_with_its_place(fault, tmp_path):
    spoil, options, message = REFUSED[fault]
    copy = own_files(tmp_path / "copy")
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        taken(copy, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [("en", "two languages"), ("en-de-fr", "two languages"), ("en-en", "the same language")],
)
def test_languages_are_two(given, message):
    with pytest.raises(ValueError, match=message):
        SentencesOptions(languages=given)


def test_without_valid_a_part_of_train_is_held_out_always_the_same(tmp_path):
    copy = own_files(tmp_path / "copy", {"train": 120})
    found = []
    for name in ("one", "other"):
        counts, checked = taken(copy, tmp_path / name, valid_share=0.1, test_share="0.05")
        assert "translates en to fr" in counts["notes"]
        assert "valid is 12 pairs of train, held out" in counts["notes"]
        assert counts["items"] == {"train": 102, "valid": 12, "test": 6}
        assert not {"valid_in_train", "test_in_train"} & checked.counts.keys()
        found.append([binarised(tmp_path / name, split, PAIR) for split in SIZES])
    assert found[0] == found[1]
    known = list(zip(lines(copy / "train.en"), lines(copy / "train.fr"), strict=True))
    assert sorted(pair for pairs in found[0] for pair in pairs) == sorted(known)


def test_pairs_that_are_too_long_for_the_model_are_left_out_and_counted(tmp_path):
    copy = own_files(tmp_path / "copy")
    for number in range(1, 91):
        edit(copy / "train.en", number, lambda line: "two " * 1100)
    counts, _ = taken(copy, tmp_path / "out")
    assert "90 of 120 training pairs are longer than 1023 units and are left out" in counts["notes"]
    assert counts["items"]["train"] == 30


def test_repetition_is_counted_and_told(tmp_path):
    copy = own_files(tmp_path / "copy")
    for language in PAIR:
        write(copy / f"valid.{language}", lines(copy / f"train.{language}")[:12])
    for number in range(30, 35):
        edit(copy / "train.fr", number, lambda line: "six six")
        edit(copy / "train.en", number, lambda line: "six six")
    _, checked = taken(copy, tmp_path / "out")
    assert checked.counts["valid_in_train"] == 12
    assert checked.counts["untranslated"] == 5
    assert "5 of 120 training pairs are the same on both sides" in checked.notes
    assert "12 pairs of valid are among the 120 of train too" in checked.notes


def test_references_with_characters_that_train_has_not_lower_what_can_be_reached(tmp_path):
    copy, out = own_files(tmp_path / "copy"), tmp_path / "out"
    edit(copy / "valid.fr", 2, lambda line: f"{line} 東京")
    _, checked = taken(copy, out)
    reached = perfect_bleu(out, tmp_path / "run")
    assert reached < 99.5
    assert checked.notes == (
        f"a perfect model has a BLEU of {reached:.2f} on valid: 1 of 12 references have units that "
        "the dictionary has not",
    )


def test_parts_of_words_that_train_has_only_whole_can_be_written(tmp_path):
    copy, out = own_files(tmp_path / "copy"), tmp_path / "out"
    edit(copy / "valid.fr", 2, lambda line: "quat sep hui neu troi cin")
    _, checked = taken(copy, out)
    assert checked.notes == ()
    assert perfect_bleu(out, tmp_path / "run") == pytest.approx(100, abs=1e-9)


def test_a_part_is_measured_against_its_own_references(tmp_path):
    copy, out = own_files(tmp_path / "copy"), tmp_path / "out"
    taken(copy, out)
    for wanted in (1, 5, 12, 100):
        bleu = perfect_bleu(out, tmp_path / str(wanted), evaluation_sentences=wanted)
        assert bleu == pytest.approx(100, abs=1e-9)


def test_a_region_is_part_of_a_language(tmp_path):
    copy, out = own_files(tmp_path / "copy"), tmp_path / "out"
    for split in SIZES:
        (copy / f"{split}.fr").rename(copy / f"{split}.zh-CN")
    counts, checked = taken(copy, out, languages="en,zh-CN")
    assert counts["languages"] == ["en", "zh_CN"]
    assert checked.counts["bleu_tokens"] == "zh"
    assert perfect_bleu(out, tmp_path / "run") == pytest.approx(100, abs=1e-9)


SIGNS = st.text(
    st.one_of(
        st.sampled_from([*" \r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029\u00a0\u3000\t\ufeff\u00ad"]),
        st.characters(exclude_categories=("Cs",), exclude_characters="\n"),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(train=st.lists(st.tuples(SIGNS, SIGNS), max_size=8), valid=SIGNS)
def test_whatever_the_lines_have_in_them_pairs_stay_pairs(train, valid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    copy, out = own_files(folder / "copy", {"train": 30, "valid": 4}), folder / "out"
    for side, language in enumerate(PAIR):
        more = [f"{number} {pair[side]}" for number, pair in enumerate(train)]
        write(copy / f"train.{language}", lines(copy / f"train.{language}") + more)
    numbers = list(map(str, range(len(train))))
    edit(copy / "valid.fr", 2, lambda line: line + valid)
    if "\0" in valid + "".join(map("".join, train)):
        with pytest.raises(PrepareError, match=r"(train|valid)\.\w+, line \d+ has a zero byte"):
            taken(copy, out)
        return
    counts, checked = taken(copy, out)
    assert counts["items"]["train"] == 30 + len(train)
    pairs = binarised(out, "train", PAIR)[30:]
    assert [source.split()[0] for source, _ in pairs] == numbers
    assert [target.split()[0] for _, target in pairs] == numbers
    for side in range(2):
        expected = [
            tidy(f"{n} {pair[side]}".replace("\u2581", " ")) for n, pair in enumerate(train)
        ]
        assert [pair[side] for pair in pairs] == expected
    perfect = perfect_bleu(out, folder / "run")
    unknown = any("have units that the dictionary has not" in note for note in checked.notes)
    assert (perfect == pytest.approx(100, abs=1e-9)) != unknown
