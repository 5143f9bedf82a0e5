"""Grafana's dashboards as code: `make dashboards` writes `dashboards/*.json` from what stands here."""
