"""The OCI image format. No network, no subprocess."""
