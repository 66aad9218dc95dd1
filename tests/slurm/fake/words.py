"""Command lines of the fake Slurm: what Slurm's own programs understand, as far as is needed."""

from __future__ import annotations

import sys


class Options(dict):
    """Options by their long name; ``rest`` are the other words.

    Args:
        words: The command line, or the words of ``#SBATCH`` lines.
        flags: Long names that take no value.
        short: Long names by letter.
        stop: Whether the first other word ends the options, as in srun and sbatch.
    """

    def __init__(
        self, words: list[str], flags: str, short: dict[str, str], stop: bool = False
    ) -> None:
        self.rest: list[str] = []
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "--" or (stop and not word.startswith("-")):
                self.rest = words if word == "--" else [word, *words]
                break
            if word.startswith("--"):
                name, given, value = word[2:].partition("=")
                if name in flags.split():
                    self[name] = True
                else:
                    self[name] = value if given else words.pop(0)
            elif word.startswith("-") and len(word) > 1:
                self._letters(word[1:], words, flags.split(), short)
            else:
                self.rest.append(word)

    def _letters(self, text: str, words: list[str], flags: list[str], short: dict) -> None:
        while text:
            letter, text = text[0], text[1:]
            if letter not in short:
                fail(f"{sys.argv[1]}: invalid option -- '{letter}'")
            if short[letter] in flags:
                self[short[letter]] = True
            else:
                self[short[letter]] = text or words.pop(0)
                return

    def list(self, name: str) -> list[str]:
        """Return a value with commas as a list, leaving those in brackets."""
        parts, depth = [""], 0
        for sign in str(self.get(name, "")):
            depth += (sign == "[") - (sign == "]")
            if sign == "," and depth == 0:
                parts.append("")
            else:
                parts[-1] += sign
        return [part for part in parts if part]


def fail(message: str, code: int = 1) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)
