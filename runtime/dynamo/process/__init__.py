"""A graph's processes on one host: supervisor, workers, placement, rolling restart, scaling, GPUs, control socket."""
