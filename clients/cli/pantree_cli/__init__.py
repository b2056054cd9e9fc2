"""The command line: `pantree up`, `demo`, `process`, `status`, `serve`, `simulate`."""
