"""How a DataLoader's worker processes are started when they are not to be forked."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

_IMPORTED_ONCE = ["mlimages.training.dataset", "mlimages.images.colour_kernels", "cv2", "numba"]


def server_context() -> BaseContext:
    """Workers forked from a server that has imported what they need, and nothing else.

    For `DataLoader(multiprocessing_context=server_context())`, where forking the process itself is
    out of the question because of its threads or its GPU. Against "spawn", which has every worker
    import PyTorch anew, workers start at once, share the memory of what is imported, and end
    without an interpreter's shutdown, which PyTorch's sending thread may not survive. The server
    starts here and now, so that it imports while this process reads its data.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    forkserver.ensure_running()
    return context
