"""The only place that speaks SQL. Must never decide anything: it keeps documents and refuses stale writes."""
