"""The knowledge of the recommendation service: which evidence suffices, which cadence it supports, what that saves."""
