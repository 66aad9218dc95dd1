"""With what mmcv's operators were compiled, beside the libraries that their file asks for."""

import re
import subprocess

import mmcv._ext

from plugins.openmmlab.operators import cuda_version


def test_operators_for_cpus_alone_ask_for_no_library_of_cuda():
    said = subprocess.run(
        ["readelf", "--dynamic", mmcv._ext.__file__], capture_output=True, text=True, check=True
    )
    needed = re.findall(r"NEEDED.*\[(\S+)\]", said.stdout)
    assert any(name.startswith("libtorch") for name in needed)
    assert (cuda_version() is not None) == any("cuda" in name for name in needed)
