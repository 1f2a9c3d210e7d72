"""Messages between processes: payloads and names."""
