"""The frequency service: how regularly is each item bought, when is it due, how sure are we?"""
