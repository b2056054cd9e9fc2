"""The simulation model: how often shoppers go shopping, and how often they need each kind of item."""
