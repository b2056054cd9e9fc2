"""Our ranking model on SageMaker: a container for serving and training, bulk scoring, and a local runtime."""
