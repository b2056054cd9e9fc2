"""The server interceptor of every part: one around each call, so that a call meets all checks in one step."""

from pantree_runtime.interceptors.handlers import CallInterceptor
from pantree_runtime.interceptors.served_call import AdmissionPolicy

__all__ = ["AdmissionPolicy", "CallInterceptor"]
