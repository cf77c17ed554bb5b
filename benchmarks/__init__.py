"""Speed and memory beside the peers: ``python -m benchmarks`` prints one table.

One process, one thread: the settings below are read when NumPy, torch and JAX are first imported,
so this file sets them before anything else here is. JAX minds them no longer: ``__main__`` keeps
the process on one core. Which kernels a BLAS takes for this processor is left to the BLAS.
"""

import os
import sys

if "numpy" not in sys.modules:  # else they would only reach processes started from here
    os.environ.update(
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        VECLIB_MAXIMUM_THREADS="1",
        XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        JAX_PLATFORMS="cpu",
    )
    os.environ.pop("OPENBLAS_CORETYPE", None)
