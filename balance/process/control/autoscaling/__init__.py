"""Autoscalers at work, in control: what the load is, who leads, and the drivers that change how many backends there are."""
