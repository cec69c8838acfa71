"""One module per command, found by its file name; each exposes `command`, a `click.Command`."""
