"""One cluster: apply, wait, status, history, removal. The one door to the Kubernetes client."""
