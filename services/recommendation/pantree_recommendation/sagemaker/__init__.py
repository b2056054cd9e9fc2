"""Our ranking model on SageMaker: a container that serves and trains, bulk jobs, and a runtime to try it with."""
