"""Lets glibc return freed memory to the system.

It keeps what a thread frees for that thread, and, once it has seen arrays of some size freed, all
of that size: a server that segmented heads by two threads holds their arrays for ever.
"""

import ctypes
import sys

# Of glibc's <malloc.h>.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# Larger blocks get pages of their own, which go back when they are freed: the arrays of a head,
# not those of a crop. A fixed size ends glibc's own guessing.
_OWN_PAGES_BYTES = 4 * 1024 * 1024
_ARENAS = 2


def give_memory_back() -> bool:
    """Configure glibc's allocator for this process; False if the C library is another one."""
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    done = (set_option(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES), set_option(_M_ARENA_MAX, _ARENAS))
    return all(done)
