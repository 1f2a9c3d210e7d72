"""Disaggregated prefill and decode: the policy, the jobs and both sides."""
