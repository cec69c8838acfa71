"""One process per domain of the outside world: takes desires, ledgers them, acts, reports.

Must never import the store, the API or a controller: an executor knows its own domain's documents and nothing else.
"""
