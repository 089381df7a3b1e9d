"""Nothing of the GPU's kernels is collected where there is no Triton to import."""

import platform

if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
    collect_ignore = ["graphkoopman/lobes/_gpu_kernels.py", "tests/test_lobes_gpu.py"]
