"""Lazur: an Azure-consistent cloud on your own Linux servers."""
