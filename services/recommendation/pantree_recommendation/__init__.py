"""The recommendation service: which items to subscribe to, and at which cadence?"""
