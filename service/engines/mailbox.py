"""Memory that two processes share, through which the bytes of a file go without a pipe."""

import mmap
import os
from typing import Self

KEPT_BYTES = 4 * 1024 * 1024
"""A mailbox that is larger gives its memory back when it is empty; most files are smaller."""


class Mailbox:
    """Room for one message at a time, as large as it has to be.

    Both sides have it, and take turns, which are told over a channel beside it. Whoever's turn it
    is reads the message, before anything else, and then may write one.
    """

    def __init__(self, descriptor: int) -> None:
        """Map the memory behind a file descriptor, which is closed with it."""
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)

    @classmethod
    def make(cls) -> Self:
        """Make the memory. It has no name: only who is given its descriptor finds it.

        Raises:
            OSError: There is no memory for it.
        """
        descriptor = os.memfd_create("pneumoscope", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            return cls(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    @property
    def room(self) -> int:
        """How many bytes it takes up."""
        return len(self._memory)

    def make_room(self, size: int) -> None:
        """Have room for a message, in the place of the last one.

        Args:
            size: Of the message, in bytes.

        Raises:
            OSError: There is no memory for it.
        """
        if size > self.room or self.room > max(size, KEPT_BYTES):
            pages = max(1, -(-size // mmap.PAGESIZE))
            try:
                self._memory.resize(pages * mmap.PAGESIZE)
            except OSError:
                # The memory itself may have its new size, which the other side would go by.
                os.ftruncate(self.descriptor, self.room)
                raise

    def put(self, start: int, piece: bytes) -> int:
        """Write a part of the message that there is room for.

        Returns:
            Where the next part starts.
        """
        end = start + len(piece)
        self._memory[start:end] = piece
        return end

    def read(self, size: int) -> bytes:
        """Copy the message, which the other side has written."""
        shared = os.fstat(self.descriptor).st_size
        if shared != self.room:
            self._memory.resize(shared)
        return self._memory[:size]

    def close(self) -> None:
        """Let go of the memory and of its descriptor."""
        self._memory.close()
        os.close(self.descriptor)
