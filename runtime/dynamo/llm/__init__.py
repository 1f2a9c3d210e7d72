"""What serving language models adds to the runtime: KV events and their index, routing, disaggregation."""
