"""Server interceptors of every part, outermost first: request log, status, deadline.

Each is an async context manager around the handling of one call, see `handlers.CallInterceptor`.
"""

from pantree_runtime.interceptors.deadline import limit_to_deadline
from pantree_runtime.interceptors.handlers import CallInterceptor
from pantree_runtime.interceptors.request_log import log_request
from pantree_runtime.interceptors.status import abort_with_status


def server_interceptors() -> list[CallInterceptor]:
    """The interceptors of a server, in the order in which a call meets them."""
    return [CallInterceptor(log_request), CallInterceptor(abort_with_status), CallInterceptor(limit_to_deadline)]
