"""The console: pages for people, and what they and programs ask under /api/v1/. Loaded with the first request."""
