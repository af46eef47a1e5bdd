"""Asks HTTP servers from control's loop: Consul's agents and Kubernetes' API servers."""
