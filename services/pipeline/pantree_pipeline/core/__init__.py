"""The stages that lead to recommendations, in order, and what happens when one of them fails."""
