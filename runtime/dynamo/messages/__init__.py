"""What travels between processes: payloads and names."""
