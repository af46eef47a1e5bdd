"""What autoscalers do and would do, and why: for people, for KEDA and for a HorizontalPodAutoscaler."""
