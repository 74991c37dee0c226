"""What runs beside the lines: HTTP, metrics, logs, the service manager's wishes."""
