"""The server interceptor of every part: one for all checks, so that each call passes one wrapper."""

from pantree_runtime.interceptors.handlers import CallInterceptor
from pantree_runtime.interceptors.served_call import AdmissionPolicy

__all__ = ["AdmissionPolicy", "CallInterceptor"]
