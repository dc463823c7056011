"""The project in operation: a server and workers as `make up` starts them. Run by `make e2e`."""
