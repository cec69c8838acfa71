"""The one door to web servers that customers name: what is fetched through it is guarded."""
