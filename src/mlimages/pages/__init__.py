"""Static HTML pages over a database: statistics, categories, quality. No network, no server."""
