"""Ranking models in this process and on SageMaker, and the files that configure them."""
