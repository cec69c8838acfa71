"""What every other layer stands on: errors, time, ids, logs. Knows nothing of clouds; must never import another layer."""
