"""The toy task, for the tests of this folder."""

from toy import study

__all__ = ["study"]
