"""What subscription engines report: one module for each engine reads its webhooks."""
