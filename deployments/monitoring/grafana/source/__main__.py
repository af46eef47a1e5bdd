"""Writes the Grafana dashboard: `cd deployments/monitoring/grafana; python source > dashboards/balance.json`."""

import json
import sys

from dashboard_json import dashboard

sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
