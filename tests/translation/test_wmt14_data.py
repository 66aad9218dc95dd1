"""A copy of WMT14 is checked, cleaned, binarised, and read by the translation plugin."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest
import sacrebleu
import small_translation as small

from plugins.contracts.dataset import PrepareError
from plugins.translation.data import wmt14
from study import data
from study.data import contents

PAIRS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
SIZES = {"europarl-v7.de-en": 200, "commoncrawl.de-en": 150, "news-commentary-v9.de-en": 100}
TESTS = {"newstest2013": 12, "newstest2014": 9}
FOLDERS = {"commoncrawl.de-en": "", "newstest2013": "dev", "newstest2014": "test-full"}


def sentences(count: int, chance: random.Random) -> dict[str, list[str]]:
    english = [chance.choices(list(PAIRS), k=chance.randint(2, 7)) for _ in range(count)]
    german = [[PAIRS[word] for word in sentence] for sentence in english]
    return {"en": [" ".join(s) for s in english], "de": [" ".join(s) for s in german]}


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


@pytest.fixture
def copy(tmp_path) -> Path:
    """Numbers read out, in files that lie as the archives unpack."""
    folder, chance = tmp_path / "datasets, of us" / "wmt14", random.Random(0)
    for name, count in (SIZES | TESTS).items():
        for lang, lines in sentences(count, chance).items():
            write(folder / FOLDERS.get(name, "training") / f"{name}.{lang}", lines)
    return folder


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return wmt14.prepare(copy, out, lambda doing: None, subset)


def edit(copy: Path, name: str, change) -> None:
    (path,) = copy.rglob(name)
    write(path, change(path.read_text("utf-8").split("\n")[:-1]))


def binarised(out: Path, split: str) -> list[tuple[str, str]]:
    """The pairs of a split as fairseq loads them, in natural text."""
    from fairseq.data import Dictionary, data_utils

    sides = []
    for lang in ("en", "de"):
        dictionary = Dictionary.load(str(out / "bin" / f"dict.{lang}.txt"))
        lines = data_utils.load_indexed_dataset(str(out / f"bin/{split}.en-de.{lang}"), dictionary)
        sides.append([dictionary.string(line, "sentencepiece") for line in lines])
    return list(zip(*sides, strict=True))


def test_what_fairseq_loads_is_the_clean_text_in_order(copy, tmp_path):
    dirty = {
        "en": ["", "one", "one\u00ad  two\u00a0three\ufeff", "one", "six \u2028 two"],
        "de": ["eins", "", "eins zwei  drei", "eins zwei drei vier fünf", "sechs zwei"],
    }
    for lang, lines in dirty.items():
        edit(copy, f"commoncrawl.de-en.{lang}", lambda kept, lines=lines: lines + kept)
    before, out = contents.fingerprint(copy, {}), tmp_path / "out"
    counts = prepared(copy, out)
    expected = []
    for name in SIZES:
        (english,), (german,) = (copy.rglob(f"{name}.{lang}") for lang in ("en", "de"))
        lines = zip(
            *(p.read_text("utf-8").split("\n")[:-1] for p in (english, german)), strict=True
        )
        pairs = list(lines)
        if name.startswith("commoncrawl"):
            pairs = [("one two three", "eins zwei drei"), ("six two", "sechs zwei"), *pairs[5:]]
        expected += pairs
    assert binarised(out, "train") == expected
    assert counts["items"] == {"train": 452, "valid": 12, "test": 9}
    assert counts["read"] == SIZES | {"commoncrawl.de-en": 155} | TESTS
    assert contents.fingerprint(copy, {}) == before
    for split, name in (("valid", "newstest2013"), ("test", "newstest2014")):
        for lang in ("en", "de"):
            (given,) = copy.rglob(f"{name}.{lang}")
            assert (out / f"{split}.{lang}").read_bytes() == given.read_bytes()
        assert [source for source, _ in binarised(out, split)] == (
            (out / f"{split}.en").read_text().split("\n")[:-1]
        )
    assert not list(out.glob("train*"))


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [((1, 1), True), ((2, 3), True), ((3, 2), True), ((2, 4), False), ((4, 2), False),
     ((250, 250), True), ((251, 250), False), ((250, 251), False), ((0, 1), False),
     ((0, 0), False)],
)  # fmt: skip
def test_cleaning_is_that_of_clean_corpus_n(lengths, kept):
    source, target = (["x"] * length for length in lengths)
    assert wmt14.is_clean(source, target) is kept


MISTAKES = {
    "one line more": (
        lambda copy: edit(copy, "europarl-v7.de-en.de", lambda lines: [*lines, "null"]),
        r"lines are no pairs: .*europarl-v7.de-en.en 200 and .*europarl-v7.de-en.de 201 lines",
    ),
    "a test set with a line less": (
        lambda copy: edit(copy, "newstest2014.de", lambda lines: lines[1:]),
        r"newstest2014.en 9 and .*newstest2014.de 8 lines",
    ),
    "a corpus is missing": (
        lambda copy: [path.unlink() for path in copy.glob("commoncrawl*")],
        r"has no commoncrawl.de-en.en and no commoncrawl.de-en.de; WMT14 is at https",
    ),
    "a language of a test set is missing": (
        lambda copy: (copy / "test-full/newstest2014.de").unlink(),
        "newstest2014 in one language only, newstest2014.de is missing",
    ),
    "another encoding": (
        lambda copy: (copy / "training/europarl-v7.de-en.de").write_bytes(b"f\xfcnf\n" * 200),
        r"europarl-v7.de-en.de is not in UTF-8",
    ),
    "nothing clean": (
        lambda copy: [
            write(path, ["null"] * 10 if path.suffix == ".en" else ["eins " * 20] * 10)
            for name in SIZES
            for path in copy.rglob(f"{name}.*")
        ],
        "is left for training after cleaning",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path):
    with pytest.raises(
        PrepareError, match=r"200 europarl-v7.de-en, not 1920209;.*9 newstest2014, not 3003.*--sub"
    ):
        prepared(copy, tmp_path / "out", subset=False)


SGM = '<srcset>\n<doc docid="1">\n<p>\n{}</p>\n</doc>\n</srcset>\n'


def sgm(lines: list[str]) -> str:
    return SGM.format("".join(f'<seg id="{i}">{line} </seg>\n' for i, line in enumerate(lines, 1)))


@pytest.fixture
def published(copy, tmp_path, monkeypatch) -> Path:
    """A copy without newstest2014, and an archive with it where sacrebleu looks."""
    source = tmp_path / "test-full"
    source.mkdir()
    for lang, kind in (("en", "src"), ("de", "ref")):
        given = copy / f"test-full/newstest2014.{lang}"
        lines = given.read_text("utf-8").split("\n")[:-1]
        (source / f"newstest2014-deen-{kind}.{lang}.sgm").write_text(sgm(lines), "utf-8")
        given.unlink()
    archive = tmp_path / "test-full.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(source, "test-full")
    known = sacrebleu.DATASETS["wmt14/full"]
    store = tmp_path / "sacrebleu"
    for name, value in {
        "data": [archive.as_uri()],
        "md5": [sacrebleu.utils.get_md5sum(archive)],
        "_outdir": str(store),
        "_rawdir": str(store / "raw"),
        "langpairs": {"en-de": known.langpairs["en-de"]},
    }.items():
        monkeypatch.setattr(known, name, value)
    return archive


def test_newstest2014_comes_from_sacrebleu_or_from_its_archive(
    copy, published, tmp_path, monkeypatch
):
    monkeypatch.setattr(wmt14, "binarise", lambda *arguments: None)  # another test's subject
    prepared(copy, tmp_path / "downloaded")
    with tarfile.open(published) as archive:
        archive.extractall(copy, filter="data")
    prepared(copy, tmp_path / "given")
    expected = sentences_of(tmp_path / "test-full/newstest2014-deen-ref.de.sgm")
    for made in ("downloaded", "given"):
        found = (tmp_path / made / "test.de").read_text("utf-8").split("\n")[:-1]
        assert found == expected
        assert len(found) == TESTS["newstest2014"]


def sentences_of(path: Path) -> list[str]:
    lines = path.read_text("utf-8").split("\n")
    return [line.split(">")[1].split("<")[0].strip() for line in lines if "<seg" in line]


@pytest.mark.parametrize("what", ["unreachable", "another file"])
def test_a_failed_download_says_what_to_put_where(copy, published, tmp_path, what):
    if what == "unreachable":
        published.unlink()
    else:
        published.write_bytes(b"<html>Please log in</html>")
    with pytest.raises(
        PrepareError, match=r"sacrebleu cannot download it.*put newstest2014.en and newstest2014.de"
    ):
        prepared(copy, tmp_path / "out")


def test_a_model_trains_on_it(copy, tmp_path, monkeypatch):
    from plugins.translation.train import train

    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "prepared"))
    data.prepare_from("wmt14", copy, subset=True)
    data.verify("wmt14")
    job = small.job(tmp_path / "run", data.path("wmt14"), epochs=1, evaluation_split="test")
    train(job)
    (last,) = job.recorded("val")[-1:]
    assert last["perplexity"] > 1
    assert 0 <= last["BLEU"] <= 100
    assert data.card("wmt14")["line"] == (
        "part of WMT14 en-de (free for research, see statmt.org/wmt14), 450/12/9 pairs; "
        "not comparable with WMT14 en-de"
    )
