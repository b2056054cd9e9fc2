"""Where the items are ranked: in this process, or on SageMaker."""
