"""Errors of CUDA that leave a process with no way to go on."""

import re

# cuBLAS, cuDNN and NCCL put the error of a kernel that failed before them in words of their own.
_SAID = re.compile(
    r"CUDA (driver )?error"
    r"|CUBLAS_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR)"
    r"|CUDNN_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR)"
    r"|NCCL error"
)


def is_cuda_error(error: BaseException | None) -> bool:
    """Whether CUDA, or a library on it, failed; torch has a type only for some (AcceleratorError).

    That memory ran out is one of them; see core.hardware.out_of_memory.
    """
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def context_is_lost() -> bool:
    """Whether CUDA refuses all further work of this process.

    A failed kernel (device-side assert, illegal memory access, unspecified launch failure) and an
    uncorrectable memory error are sticky: every later call returns the error until the process ends
    (CUDA runtime API, cudaError_t). Memory that ran out, or a wrong argument, is not.
    """
    import torch

    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
        return int(torch.ones(1, device="cuda").add_(1).item()) != 2
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
