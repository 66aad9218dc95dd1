"""fairseq's own commands with nothing of ours but ``--user-dir``."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_translation import SIZES, fairseq

import plugins.translation

USER_DIR = ["--user-dir", str(Path(plugins.translation.__file__).parent)]


@pytest.mark.train
def test_stock_commands_train_and_generate(numbers, tmp_path):
    trained = fairseq(
        "train", str(numbers / "bin"), *USER_DIR, "--cpu", "--save-dir", str(tmp_path),
        "--arch", "spatial_attention_transformer_tiny", "--encoder-self-attention", "0110",
        "--decoder-self-attention", "dynamic", "--cross-attention", "0111", "--left-pad-source",
        "--optimizer", "adam", "--lr", "0.01", "--max-tokens", "500", "--max-epoch", "1",
        "--no-epoch-checkpoints", "--num-workers", "0",
    )  # fmt: skip
    assert "terms='0110'" in trained.stdout + trained.stderr
    checkpoint = ["--path", str(tmp_path / "checkpoint_last.pt")]
    generate = [str(numbers / "bin"), *USER_DIR, "--cpu", *checkpoint, "--beam", "2"]
    # fairseq's default of 8 loses the sentences of the last batch, if these are not 8.
    generate += ["--num-workers", "0", "--required-batch-size-multiple", "1", "--print-alignment"]
    generated = fairseq("generate", *generate, "--left-pad-source")
    lines = [line for line in generated.stdout.splitlines() if line.startswith("H-")]
    assert len(lines) == SIZES["test"]

    padded_left = fairseq("generate", *generate, check=False)
    assert padded_left.returncode
    assert "--left-pad-source" in padded_left.stderr
