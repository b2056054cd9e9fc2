"""The vector service: which items and which customers are similar?"""
