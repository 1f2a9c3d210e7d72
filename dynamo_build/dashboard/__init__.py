"""One page that shows a running graph: rates, latencies, states, restarts, logs."""
