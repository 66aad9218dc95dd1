r"""How VQA makes answers comparable, with the quirks that published numbers were measured with.

Written from the behaviour of the official ``vqaEval.py`` (https://github.com/GT-Vision-Lab/VQA):

- A punctuation mark becomes a space; but nothing if it stands beside a space anywhere in the
  answer, or if the answer has a comma between digits: "yes/no" is "yes no", "t-shirt -blue" is
  "tshirt blue", "1,000" is "1000".
- A period goes unless a digit follows: the look-behind for a digit before it is mistyped there.
  At most 32 go, since a flag stands where a count belongs.
- Number words become digits; "none" becomes 0. Articles go.
- Apostrophes stay, and missing ones are set, in words of a list alone.
"""

from __future__ import annotations

import functools
import re

__all__ = ["normalised", "stripped"]

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
PERIOD = re.compile(r"\.(?!\d)")
MOST_PERIODS = int(re.UNICODE)
THOUSANDS = re.compile(r"\d,\d")

ARTICLES = ("a", "an", "the")
NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}

# In the order of the alphabet. Of a word with several apostrophes each may be the missing one.
WITH_APOSTROPHES = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't
    hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am
    might've mightn't mightn't've must've mustn't needn't not've o'clock oughtn't shan't she'd've
    should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't
    what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's
    who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll
    you'd you'd've you'll you're you've
""".split()  # noqa: SIM905


def _without_one(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at, sign in enumerate(word) if sign == "'"]


CONTRACTIONS = {lacking: word for word in WITH_APOSTROPHES for lacking in _without_one(word)}
CONTRACTIONS["somebody'd"] = "somebodyd"  # the wrong way round there


def stripped(answer: str) -> str:
    """Return an answer without breaks: all that is done to answers on which all people agree."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


@functools.lru_cache(maxsize=2**16)  # most answers are given again and again
def normalised(answer: str) -> str:
    """Return an answer as it is compared where people disagree.

    Examples
    --------
    >>> normalised("A Cat."), normalised("two-three"), normalised("dont"), normalised("none")
    ('cat', '2 3', "don't", '0')
    """
    return _words(_punctuation(stripped(answer)))


def _punctuation(answer: str) -> str:
    thousands = THOUSANDS.search(answer) is not None
    out = answer
    for mark in PUNCTUATION:
        touches = f"{mark} " in answer or f" {mark}" in answer
        out = out.replace(mark, "" if touches or thousands else " ")
    return PERIOD.sub("", out, count=MOST_PERIODS)


def _words(answer: str) -> str:
    words = (NUMBERS.get(word, word) for word in answer.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
