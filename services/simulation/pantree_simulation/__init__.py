"""The simulation service: what would this shopper buy over the next months?"""
