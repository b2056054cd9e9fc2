"""Errors of a batch, each with a message for its operator."""


class BatchError(Exception):
    """The batch cannot go on; the message says why and what to do."""


class InvalidTable(BatchError):
    """A table lacks columns, is incomplete, or is not sorted."""


class RunFailed(BatchError):
    """A run stopped before it was published; `resume` continues it."""
